"""Users: made, let in no more, removed; and nobody becomes more by changing another one."""

import pytest

from pierhead.access.hashes import kind_of
from pierhead.access_settings import PasswordSettings
from pierhead.accounts import names, passwords
from pierhead.errors import AccountInvalid, AlreadyThere, GivesTooMuch, PasswordRefused, PrincipalUnknown
from pierhead.metadata import sign_ins
from pierhead.metadata.sign_ins import SignedIn
from pierhead.settings import Settings
from pierhead.verbs import Verb
from tests.accounts.changing import OPERATOR, PASSWORD, Changing, by

pytestmark = pytest.mark.anyio


async def hashed(accounts: Changing, name: str) -> str:
    found = await accounts.database.read(lambda tx: sign_ins.find(tx, name))
    assert found is not None
    assert found.hashed is not None
    return found.hashed


async def test_a_password_is_kept_as_argon2id_and_is_told_nowhere(accounts: Changing) -> None:
    await accounts.users.create("ann", PASSWORD, by=OPERATOR)

    kept = await hashed(accounts, "ann")
    kind = kind_of(kept)
    assert kept.startswith("$argon2id$")
    assert kind is not None
    assert kind.check(PASSWORD.encode(), kept)
    assert not kind.check(b"another sentence", kept)
    told = await accounts.everything_told()
    assert PASSWORD not in told
    assert kept not in told


async def test_the_first_account_ends_the_open_mode_for_good(accounts: Changing) -> None:
    before = await accounts.is_closed()

    await accounts.user()
    await accounts.users.delete("ann", by=OPERATOR)

    assert not before
    assert await accounts.is_closed()


async def test_one_that_could_not_be_made_ends_nothing(accounts: Changing) -> None:
    with pytest.raises(PasswordRefused):
        await accounts.users.create("ann", "short", by=OPERATOR)

    assert not await accounts.is_closed()


@pytest.mark.parametrize(
    "password", ["short", "", "long-enough", "LONG-enough", "aaaaaaaaaaaa", "password1234", "x" * 1025, "é" * 600]
)
def test_a_weak_password_is_refused(password: str) -> None:
    with pytest.raises(PasswordRefused):
        passwords.require("long-enough", password, min_length=10)


async def test_the_shortest_password_is_a_setting(accounts: Changing) -> None:
    strict = Changing(accounts.database, Settings(passwords=PasswordSettings(min_length=18)))

    with pytest.raises(PasswordRefused, match="18"):
        await strict.users.create("ann", PASSWORD, by=OPERATOR)


@pytest.mark.parametrize(
    "name", ["", "Ann", "@dev", "team+ci", "-ann", "a" * 129, "ann\n", "анна", "an n", "anonymous", "everyone"]
)
def test_such_a_name_is_refused(name: str) -> None:
    with pytest.raises(AccountInvalid):
        names.user(name)


async def test_nobody_is_made_under_such_a_name(accounts: Changing) -> None:
    with pytest.raises(AccountInvalid):
        await accounts.users.create("Ann", None, by=OPERATOR)


async def test_a_name_is_had_once_whichever_source_it_is_of(accounts: Changing) -> None:
    await accounts.user("ann")
    told = SignedIn("ldap:corp", "bob", "uid=bob", "", "", ())
    await accounts.database.write(lambda tx: sign_ins.remember(tx, told))

    with pytest.raises(AlreadyThere, match=r"^ann$"):
        await accounts.user("ann")
    with pytest.raises(AlreadyThere, match="ldap:corp"):
        await accounts.user("bob")


async def test_a_new_password_asks_everybody_to_sign_in_anew(accounts: Changing) -> None:
    await accounts.users.create("ann", PASSWORD, by=OPERATOR)
    before = await accounts.database.read(lambda tx: sign_ins.find(tx, "ann"))

    await accounts.users.set_password("ann", "quite another one", by=OPERATOR)

    after = await accounts.database.read(lambda tx: sign_ins.find(tx, "ann"))
    assert before
    assert after
    assert (before.version, after.version) == (1, 2)
    assert before.hashed != after.hashed


async def test_a_password_of_another_source_is_not_changed_here(accounts: Changing) -> None:
    told = SignedIn("ldap:corp", "bob", "uid=bob", "", "", ())
    await accounts.database.write(lambda tx: sign_ins.remember(tx, told))

    with pytest.raises(AccountInvalid, match="ldap:corp"):
        await accounts.users.set_password("bob", PASSWORD, by=OPERATOR)


async def test_an_administrator_may_everything_and_a_user_nothing(accounts: Changing) -> None:
    await accounts.user("ann", admin=True)
    await accounts.user("bob")
    await accounts.project("team")

    assert await accounts.may("ann", Verb.DELETE_REPOSITORY, "team/app")
    assert not await accounts.may("bob", Verb.PULL, "team/app")


async def test_who_is_disabled_holds_nothing_until_enabled_again(accounts: Changing) -> None:
    await accounts.user("ann", admin=True)

    await accounts.users.set_disabled("ann", disabled=True, by=OPERATOR)
    disabled = await accounts.may("ann", Verb.READ_SYSTEM, "team/app")
    await accounts.users.set_disabled("ann", disabled=False, by=OPERATOR)

    assert not disabled
    assert await accounts.may("ann", Verb.READ_SYSTEM, "team/app")


async def test_who_gets_the_name_of_a_deleted_user_holds_nothing_of_it(accounts: Changing) -> None:
    first = await accounts.user("ann", admin=True)

    await accounts.users.delete("ann", by=OPERATOR)
    second = await accounts.user("ann")

    assert first != second
    assert not await accounts.may("ann", Verb.READ_SYSTEM, "team/app")
    assert ("user.deleted", "user:ann") in await accounts.events()


async def test_each_change_is_an_event(accounts: Changing) -> None:
    await accounts.user("ann", admin=True)
    await accounts.users.set_password("ann", PASSWORD, by=OPERATOR)
    await accounts.users.describe("ann", display="Ann", email="ann@example.org", by=OPERATOR)
    await accounts.users.set_disabled("ann", disabled=True, by=OPERATOR)
    await accounts.users.set_disabled("ann", disabled=True, by=OPERATOR)
    await accounts.users.delete("ann", by=OPERATOR)

    done = [action for action, _ in await accounts.events()]
    assert done == [
        "user.created", "grant.added", "user.password-set", "user.changed", "user.disabled", "user.deleted"
    ]  # fmt: skip


async def test_nobody_takes_over_an_account_that_holds_more(accounts: Changing) -> None:
    await accounts.user("root", admin=True)
    helper = by(Verb.WRITE_USERS, Verb.READ_USERS)

    with pytest.raises(GivesTooMuch):
        await accounts.users.set_password("root", PASSWORD, by=helper)
    with pytest.raises(GivesTooMuch):
        await accounts.users.reset_second_factor("root", by=helper)
    with pytest.raises(GivesTooMuch):
        await accounts.users.set_disabled("root", disabled=True, by=helper)
    with pytest.raises(GivesTooMuch):
        await accounts.users.delete("root", by=helper)
    with pytest.raises(GivesTooMuch):
        await accounts.users.create("eve", None, admin=True, by=helper)
    with pytest.raises(PrincipalUnknown):
        await accounts.users.show("eve")


async def test_everybody_changes_his_own_password(accounts: Changing) -> None:
    ann = await accounts.user("ann", admin=True)

    await accounts.users.set_password("ann", PASSWORD, by=by(id=ann))

    assert await hashed(accounts, "ann")


async def test_users_are_listed_in_pages_by_name(accounts: Changing) -> None:
    for name in ("cid", "ann", "bob"):
        await accounts.user(name)

    first = await accounts.users.page(size=2)
    rest = await accounts.users.page(after=first[-1].name, size=2)

    assert [[one.name for one in page] for page in (first, rest)] == [["ann", "bob"], ["cid"]]


async def test_a_robot_and_a_team_are_no_users(accounts: Changing) -> None:
    await accounts.teams.create("dev", by=OPERATOR)

    with pytest.raises(PrincipalUnknown):
        await accounts.users.delete("@dev", by=OPERATOR)
