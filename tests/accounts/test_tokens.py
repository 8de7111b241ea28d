"""Tokens of users and robots: shown once, bound to projects as they were, rotated with overlap, revoked."""

from dataclasses import replace

import pytest

from pierhead.access.authenticator import Access
from pierhead.access.principal import Principal
from pierhead.access.tokens import Tokens as SigningIn
from pierhead.access_settings import TokenSettings
from pierhead.accounts import secret
from pierhead.accounts.scopes import SYSTEM, Scope
from pierhead.accounts.tokens import Asked, Made
from pierhead.errors import (
    AccountInvalid,
    AlreadyThere,
    GivesTooMuch,
    PrincipalUnknown,
    ProjectUnknown,
    SecretUnknown,
    TooMany,
    Unauthenticated,
)
from pierhead.models import RepositoryName
from pierhead.settings import Settings
from pierhead.verbs import Verb, Verbs
from tests.accounts.changing import OPERATOR, Changing, by

pytestmark = pytest.mark.anyio

DAY = 86_400
SECOND = 1_000_000


async def sign_in(accounts: Changing, text: str) -> Principal:
    """As a request would be."""
    return await SigningIn(accounts.database).check(text.encode(), "192.0.2.7")


async def held(accounts: Changing, text: str, repository: str) -> Verbs:
    """What a request with a token is decided by."""
    with Access(accounts.database, Settings()) as access:
        return (await access.standing(await sign_in(accounts, text), RepositoryName(repository))).verbs


async def make(accounts: Changing, owner: str = "ann", name: str = "laptop", *, seconds: int | None = None) -> Made:
    return await accounts.tokens.create(owner, Asked(name, seconds=seconds), by=OPERATOR)


def limited(accounts: Changing, **settings: float) -> Changing:
    return Changing(accounts.database, Settings(tokens=TokenSettings.model_validate(settings)))


async def test_a_token_signs_its_owner_in_and_is_kept_hashed(accounts: Changing) -> None:
    ann = await accounts.user("ann")

    made = await make(accounts)

    found = await sign_in(accounts, made.text)
    assert (found.id, found.name, found.token) == (ann, "ann", made.token.id)
    told = secret.read(made.text)
    assert told is not None
    assert told.kind == "personal"
    rows = await accounts.database.read(lambda tx: tx.fetch_all("SELECT * FROM tokens"))
    drawn = made.text.rpartition("_")[2][:43]
    assert drawn not in repr(rows)
    assert drawn not in repr(made)
    assert drawn not in await accounts.everything_told()


async def test_it_is_listed_with_when_and_from_where_it_was_used(accounts: Changing) -> None:
    await accounts.user("ann")
    made = await make(accounts)
    before = await accounts.tokens.page("ann", size=10)

    await sign_in(accounts, made.text)

    after = await accounts.tokens.page("ann", size=10)
    assert [one.token.used_at for one in before] == [None]
    assert [one.token.used_from for one in after] == ["192.0.2.7"]
    assert after[0].token.used_at is not None


async def test_a_revoked_one_signs_in_no_more_and_is_listed_when_asked_for(accounts: Changing) -> None:
    await accounts.user("ann")
    made = await make(accounts)

    await accounts.tokens.revoke(made.token.id, by=OPERATOR)

    with pytest.raises(Unauthenticated):
        await sign_in(accounts, made.text)
    assert await accounts.tokens.page("ann", size=10) == []
    assert [one.token.over for one in await accounts.tokens.page("ann", over=True, size=10)] == [True]
    with pytest.raises(SecretUnknown):
        await accounts.tokens.revoke(made.token.id, by=OPERATOR)


async def test_a_new_password_ends_no_personal_token(accounts: Changing) -> None:
    await accounts.user("ann")
    made = await make(accounts)

    await accounts.users.set_password("ann", "quite another one", by=OPERATOR)

    assert (await sign_in(accounts, made.text)).name == "ann"


async def test_who_is_disabled_is_let_in_by_no_token(accounts: Changing) -> None:
    await accounts.user("ann", admin=True)
    made = await make(accounts)

    await accounts.users.set_disabled("ann", disabled=True, by=OPERATOR)

    with pytest.raises(Unauthenticated):
        await held(accounts, made.text, "team/app")


async def test_its_verbs_and_places_only_take_away(accounts: Changing) -> None:
    await accounts.user("ann")
    await accounts.project("team")
    await accounts.project("other")
    await accounts.grant("ann", "writer", "team")
    asked = Asked("ci", frozenset({Verb.PULL, Verb.DELETE_TAG}), (Scope.parse("team/web/**"), Scope.parse("other")))

    made = await accounts.tokens.create("ann", asked, by=OPERATOR)

    assert await held(accounts, made.text, "team/web/front") == {Verb.PULL}
    assert await held(accounts, made.text, "team/app") == frozenset()
    assert await held(accounts, made.text, "other/app") == frozenset()
    listed = await accounts.tokens.page("ann", size=1)
    assert listed[0].places == ("team/web/**", "other")


async def test_a_project_made_anew_is_not_opened_by_a_token_of_before(accounts: Changing) -> None:
    await accounts.user("ann", admin=True)
    team = await accounts.project("team")
    made = await accounts.tokens.create("ann", Asked("ci", places=(Scope("team"),)), by=OPERATOR)
    before = await held(accounts, made.text, "team/app")

    await accounts.database.write(lambda tx: tx.execute(f"UPDATE projects SET name = 'team@1' WHERE id = {team}"))
    await accounts.project("team")

    assert Verb.PULL in before
    assert await held(accounts, made.text, "team/app") == frozenset()
    assert (await accounts.tokens.page("ann", size=1))[0].places == (None,)


async def test_a_rotated_one_works_to_the_end_of_the_overlap(accounts: Changing) -> None:
    await accounts.user("ann")
    old = await make(accounts, seconds=30 * DAY)

    new = await accounts.tokens.rotate(old.token.id, overlap_seconds=DAY, by=OPERATOR)

    assert (await sign_in(accounts, old.text)).token == old.token.id
    assert (await sign_in(accounts, new.text)).token == new.token.id
    ends = (await accounts.tokens.find(old.token.id)).expires_at
    made_at, new_ends = new.token.made_at, new.token.expires_at
    assert ends is not None
    assert new_ends is not None
    assert abs(ends - made_at - DAY * SECOND) < 10 * SECOND
    assert abs(new_ends - made_at - 30 * DAY * SECOND) < 10 * SECOND
    assert new.token.name == old.token.name


async def test_without_an_overlap_the_old_one_ends_at_once(accounts: Changing) -> None:
    await accounts.user("ann")
    old = await make(accounts)

    new = await accounts.tokens.rotate(old.token.id, by=OPERATOR)

    with pytest.raises(Unauthenticated):
        await sign_in(accounts, old.text)
    assert (await sign_in(accounts, new.text)).token == new.token.id
    with pytest.raises(SecretUnknown):
        await accounts.tokens.rotate(old.token.id, by=OPERATOR)


async def test_an_overlap_does_not_lengthen_a_life(accounts: Changing) -> None:
    await accounts.user("ann")
    old = await make(accounts, seconds=60)

    await accounts.tokens.rotate(old.token.id, overlap_seconds=DAY, by=OPERATOR)

    assert (await accounts.tokens.find(old.token.id)).expires_at == old.token.expires_at


async def test_what_rotates_keeps_verbs_and_places(accounts: Changing) -> None:
    await accounts.user("ann")
    await accounts.project("team")
    asked = Asked("ci", frozenset({Verb.PULL}), (Scope.parse("team/app"),))
    old = await accounts.tokens.create("ann", asked, by=OPERATOR)

    new = await accounts.tokens.rotate(old.token.id, by=OPERATOR)

    kept = replace(new.token, id=0, made_at=0, revoked_at=None)
    assert kept == replace(old.token, id=0, made_at=0)


async def test_the_settings_bound_how_long_and_how_many(accounts: Changing) -> None:
    await accounts.user("ann")
    bounded = limited(accounts, personal_days=2, max_personal=2)

    short = await make(bounded, name="short", seconds=60)
    long = await make(bounded, name="long")

    assert short.token.expires_at is not None
    assert long.token.expires_at is not None
    assert short.token.expires_at - short.token.made_at < 61 * SECOND
    assert abs(long.token.expires_at - long.token.made_at - 2 * DAY * SECOND) < SECOND
    with pytest.raises(TooMany, match="max_personal"):
        await make(bounded, name="third")
    await bounded.tokens.revoke(short.token.id, by=OPERATOR)
    assert (await make(bounded, name="third")).text


async def test_two_that_work_are_called_differently(accounts: Changing) -> None:
    await accounts.user("ann")
    made = await make(accounts)

    with pytest.raises(AlreadyThere):
        await make(accounts)
    await accounts.tokens.revoke(made.token.id, by=OPERATOR)
    assert (await make(accounts)).text


@pytest.mark.parametrize(
    "asked",
    [
        Asked(""),
        Asked(" "),
        Asked("x" * 129),
        Asked("a\nb"),
        Asked("ci", verbs=frozenset()),
        Asked("ci", places=()),
        Asked("ci", places=(SYSTEM,)),
        Asked("ci", places=(Scope("team"),) * 101),
        Asked("ci", seconds=0),
    ],
)
def test_such_a_token_is_refused(asked: Asked) -> None:
    with pytest.raises(AccountInvalid):
        asked.require()


async def test_no_such_token_is_made(accounts: Changing) -> None:
    await accounts.user("ann")

    with pytest.raises(AccountInvalid):
        await accounts.tokens.create("ann", Asked(""), by=OPERATOR)


async def test_it_needs_an_owner_and_projects_that_are_there(accounts: Changing) -> None:
    await accounts.user("ann")
    await accounts.teams.create("dev", by=OPERATOR)

    for nobody in ("bob", "@dev"):
        with pytest.raises(PrincipalUnknown):
            await make(accounts, nobody)
    with pytest.raises(ProjectUnknown):
        await accounts.tokens.create("ann", Asked("ci", places=(Scope("team"),)), by=OPERATOR)


async def test_nobody_makes_a_token_of_one_who_holds_more(accounts: Changing) -> None:
    root = await accounts.user("root", admin=True)
    made = await make(accounts, "root")

    helper = by(Verb.WRITE_USERS)
    with pytest.raises(GivesTooMuch):
        await accounts.tokens.create("root", Asked("ci"), by=helper)
    with pytest.raises(GivesTooMuch):
        await accounts.tokens.rotate(made.token.id, by=helper)
    with pytest.raises(GivesTooMuch):
        await accounts.tokens.revoke(made.token.id, by=helper)
    assert (await accounts.tokens.create("root", Asked("own"), by=by(id=root))).text


async def test_a_token_makes_none_that_may_more_and_changes_no_password(accounts: Changing) -> None:
    root = await accounts.user("root", admin=True)
    narrow = by(Verb.PULL, id=root, token=1)

    with pytest.raises(GivesTooMuch):
        await accounts.tokens.create("root", Asked("wider"), by=narrow)
    with pytest.raises(GivesTooMuch):
        await accounts.users.set_password("root", "quite another one", by=narrow)
