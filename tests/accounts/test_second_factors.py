"""The second factor: it counts once it was proven, each code is good once, and it is taken off by who may."""

import asyncio
import time

import pyotp
import pytest

from pierhead.errors import AlreadyThere, GivesTooMuch, PrincipalUnknown, Unauthenticated
from pierhead.metadata.database import Database
from pierhead.verbs import Verb
from tests.accounts.changing import OPERATOR, Changing, by

pytestmark = pytest.mark.anyio


def code(secret: str, steps: int = 0) -> str:
    """What the app shows so many half minutes later than now."""
    return pyotp.TOTP(secret).at(int(time.time()) + 30 * steps)


async def proven(accounts: Changing) -> tuple[int, str, list[str]]:
    ann = await accounts.user("ann")
    begun = await accounts.second_factors.begin("ann")
    codes = await accounts.second_factors.prove("ann", code(begun.secret), by=OPERATOR)
    return ann, begun.secret, codes


async def test_one_that_was_never_proven_does_not_count(accounts: Changing) -> None:
    ann = await accounts.user("ann")

    begun = await accounts.second_factors.begin("ann")

    assert not await accounts.second_factors.is_on(ann)
    with pytest.raises(Unauthenticated):
        await accounts.second_factors.check(ann, code(begun.secret))


async def test_an_app_reads_what_it_needs_from_the_uri(accounts: Changing) -> None:
    await accounts.user("ann")

    begun = await accounts.second_factors.begin("ann")

    read = pyotp.parse_uri(begun.uri)
    assert (read.secret, read.name, read.issuer) == (begun.secret, "ann", "Pierhead")
    assert begun.secret not in repr(begun)


async def test_a_wrong_code_proves_nothing(accounts: Changing) -> None:
    ann = await accounts.user("ann")
    begun = await accounts.second_factors.begin("ann")
    wrong = f"{(int(code(begun.secret)) + 1) % 10**6:06}"

    for told in (wrong, "", "abcdef", code(begun.secret, 4)):
        with pytest.raises(Unauthenticated):
            await accounts.second_factors.prove("ann", told, by=OPERATOR)

    assert not await accounts.second_factors.is_on(ann)


async def test_a_code_is_good_once_and_none_before_it(accounts: Changing) -> None:
    ann, secret, _ = await proven(accounts)

    await accounts.second_factors.check(ann, code(secret, 1))

    for steps in (1, 0, -1):
        with pytest.raises(Unauthenticated):
            await accounts.second_factors.check(ann, code(secret, steps))


async def test_of_two_who_show_one_code_at_once_one_is_let_in(accounts: Changing, other: Database) -> None:
    ann, secret, _ = await proven(accounts)
    shown = code(secret, 1)

    told = await asyncio.gather(
        accounts.second_factors.check(ann, shown),
        Changing(other).second_factors.check(ann, shown),
        return_exceptions=True,
    )

    assert sorted(map(type, told), key=str) == sorted([type(None), Unauthenticated], key=str)


async def test_a_code_on_paper_is_good_once_however_it_is_typed(accounts: Changing) -> None:
    ann, _, codes = await proven(accounts)

    await accounts.second_factors.check(ann, codes[3].upper().replace("-", " "))

    with pytest.raises(Unauthenticated):
        await accounts.second_factors.check(ann, codes[3])
    assert await accounts.second_factors.codes_left(ann) == 9
    assert len(set(codes)) == 10


async def test_new_codes_end_the_ones_before(accounts: Changing) -> None:
    ann, _, codes = await proven(accounts)

    renewed = await accounts.second_factors.renew_codes("ann", by=OPERATOR)

    with pytest.raises(Unauthenticated):
        await accounts.second_factors.check(ann, codes[0])
    await accounts.second_factors.check(ann, renewed[0])


async def test_nobody_puts_another_one_in_its_place(accounts: Changing) -> None:
    await proven(accounts)

    with pytest.raises(AlreadyThere):
        await accounts.second_factors.begin("ann")


async def test_who_lost_it_gets_it_taken_off(accounts: Changing) -> None:
    ann, secret, codes = await proven(accounts)

    removed = await accounts.users.reset_second_factor("ann", by=OPERATOR)

    assert removed
    assert not await accounts.second_factors.is_on(ann)
    assert not await accounts.users.reset_second_factor("ann", by=OPERATOR)
    for told in (code(secret, 1), codes[0]):
        with pytest.raises(Unauthenticated):
            await accounts.second_factors.check(ann, told)


async def test_what_was_not_begun_is_not_proven(accounts: Changing) -> None:
    await accounts.user("ann")

    with pytest.raises(PrincipalUnknown):
        await accounts.second_factors.prove("ann", "123456", by=OPERATOR)


async def test_no_secret_is_in_the_audit_trail(accounts: Changing) -> None:
    _, secret, codes = await proven(accounts)

    told = await accounts.everything_told()

    assert "user.second-factor-added" in told
    assert not [one for one in (secret, *codes) if one in told]


async def test_nobody_else_gets_codes_for_one_who_holds_more(accounts: Changing) -> None:
    await accounts.user("root", admin=True)
    begun = await accounts.second_factors.begin("root")

    with pytest.raises(GivesTooMuch):
        await accounts.second_factors.prove("root", code(begun.secret), by=by(Verb.WRITE_USERS))
    await accounts.second_factors.prove("root", code(begun.secret), by=OPERATOR)
    with pytest.raises(GivesTooMuch):
        await accounts.second_factors.renew_codes("root", by=by(Verb.WRITE_USERS))
