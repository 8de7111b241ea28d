"""Grants, roles, teams and robots: who holds what through them, and that nobody gives more than he has."""

from functools import partial

import pytest

from pierhead.accounts import names
from pierhead.accounts.scopes import SYSTEM, Scope
from pierhead.accounts.teams import Group
from pierhead.errors import (
    AccountInvalid,
    AlreadyThere,
    GivesTooMuch,
    GrantUnknown,
    PrincipalUnknown,
    ProjectUnknown,
    RoleInUse,
    RoleUnknown,
)
from pierhead.metadata import sign_ins
from pierhead.metadata.sign_ins import SignedIn
from pierhead.verbs import ROLES, Verb
from tests.accounts.changing import OPERATOR, Changing, by

pytestmark = pytest.mark.anyio

WRITER = ROLES["writer"]


async def test_a_grant_counts_where_it_was_given(accounts: Changing) -> None:
    await accounts.user("ann")
    await accounts.project("team")

    await accounts.grant("ann", "writer", "team/web/**")

    assert await accounts.may("ann", Verb.PUSH, "team/web/front")
    assert not await accounts.may("ann", Verb.PUSH, "team/app")
    assert ("grant.added", "grant:1") in await accounts.events()


async def test_given_twice_it_is_one(accounts: Changing) -> None:
    await accounts.user("ann")
    await accounts.project("team")
    first = await accounts.grants.add("ann", "writer", Scope("team"), by=OPERATOR)

    second = await accounts.grants.add("ann", "writer", Scope.parse("team/**"), by=OPERATOR)

    assert (first[1], second[1]) == (True, False)
    assert first[0] == second[0]
    assert [action for action, _ in await accounts.events()].count("grant.added") == 1


async def test_what_is_taken_is_held_no_more(accounts: Changing) -> None:
    await accounts.user("ann")
    await accounts.project("team")
    await accounts.grant("ann", "writer", "team/web/**")
    number = await accounts.grant("ann", "reader", "team")

    await accounts.grants.remove("ann", "writer", Scope.parse("team/web/**"), by=OPERATOR)
    only_reads = (
        await accounts.may("ann", Verb.PULL, "team/web/front"),
        await accounts.may("ann", Verb.PUSH, "team/web/front"),
    )
    await accounts.grants.remove_by_id(number, by=OPERATOR)

    assert only_reads == (True, False)
    assert not await accounts.may("ann", Verb.PULL, "team/web/front")
    with pytest.raises(GrantUnknown):
        await accounts.grants.remove("ann", "writer", Scope.parse("team/web/**"), by=OPERATOR)


async def test_everybody_who_signed_in_may_be_granted_something(accounts: Changing) -> None:
    await accounts.user("ann")
    await accounts.project("team")

    await accounts.grant(None, "reader", "team")

    assert await accounts.may("ann", Verb.PULL, "team/app")
    assert not await accounts.may("anonymous", Verb.PULL, "team/app")


async def test_a_grant_is_of_something_that_is_there(accounts: Changing) -> None:
    await accounts.user("ann")

    with pytest.raises(PrincipalUnknown):
        await accounts.grant("bob", "reader")
    with pytest.raises(RoleUnknown, match="there are reader"):
        await accounts.grant("ann", "rider")
    with pytest.raises(ProjectUnknown, match="pierhead project create team"):
        await accounts.grant("ann", "reader", "team")


@pytest.mark.parametrize("text", ["", "Team", "team/[", "team/a**", "/app", "team/..//x", "*"])
def test_such_a_scope_is_refused(text: str) -> None:
    with pytest.raises(AccountInvalid):
        Scope.parse(text)


async def test_grants_are_listed_by_whom_and_by_where(accounts: Changing) -> None:
    await accounts.user("ann")
    await accounts.user("bob")
    await accounts.project("team")
    await accounts.grant("ann", "reader", "team")
    await accounts.grant("bob", "writer", "team/web/**")
    await accounts.grant("bob", "auditor")

    async def roles(name: str | None = None, project: str | None = None) -> list[str]:
        return [one.role for one in await accounts.grants.page(name, project=project, size=10)]

    assert await roles() == ["reader", "writer", "auditor"]
    assert await roles("bob") == ["writer", "auditor"]
    assert await roles(project="team") == ["reader", "writer"]
    assert await roles("bob", "team") == ["writer"]


async def test_nobody_gives_or_takes_more_than_he_holds(accounts: Changing) -> None:
    await accounts.user("ann")
    await accounts.project("team")
    maintainer = by(*ROLES["maintainer"], Verb.WRITE_MEMBERS)

    given, _ = await accounts.grants.add("ann", "writer", Scope("team"), by=maintainer)
    with pytest.raises(GivesTooMuch, match=r"purge"):
        await accounts.grants.add("ann", "admin", Scope("team"), by=maintainer)
    admin = await accounts.grant("ann", "admin", "team")
    with pytest.raises(GivesTooMuch):
        await accounts.grants.remove_by_id(admin, by=maintainer)

    await accounts.grants.remove_by_id(given.id, by=maintainer)
    assert [one.role for one in await accounts.grants.page("ann", size=9)] == ["admin"]


async def test_an_administrator_of_a_project_gives_what_counts_there(accounts: Changing) -> None:
    await accounts.user("ann")
    await accounts.project("team")
    admin = by(*(verb for verb in Verb if not verb.system))

    found, _ = await accounts.grants.add("ann", "admin", Scope("team"), by=admin)

    assert found.project == "team"
    with pytest.raises(GivesTooMuch):
        await accounts.grants.add("ann", "admin", SYSTEM, by=admin)


async def test_a_custom_role_is_what_its_verbs_are_now(accounts: Changing) -> None:
    await accounts.user("ann")
    await accounts.project("team")
    await accounts.roles.create("cleaner", frozenset({Verb.PULL, Verb.DELETE_TAG}), by=OPERATOR)
    await accounts.grant("ann", "cleaner", "team")
    before = await accounts.may("ann", Verb.DELETE_TAG, "team/app")

    await accounts.roles.change("cleaner", frozenset({Verb.PULL}), by=OPERATOR)

    assert before
    assert not await accounts.may("ann", Verb.DELETE_TAG, "team/app")
    assert await accounts.may("ann", Verb.PULL, "team/app")


async def test_a_role_in_use_is_not_removed_and_says_by_whom(accounts: Changing) -> None:
    await accounts.user("ann")
    await accounts.roles.create("cleaner", frozenset({Verb.DELETE_TAG}), by=OPERATOR)
    number = await accounts.grant("ann", "cleaner")

    with pytest.raises(RoleInUse, match="held by ann"):
        await accounts.roles.delete("cleaner", by=OPERATOR)
    await accounts.grants.remove_by_id(number, by=OPERATOR)
    await accounts.roles.delete("cleaner", by=OPERATOR)

    assert [one.name for one in await accounts.roles.all_()] == list(ROLES)


@pytest.mark.parametrize("name", [*ROLES, "", "Cleaner", "a b", "x" * 65])
def test_such_a_name_of_a_role_is_refused(name: str) -> None:
    with pytest.raises(AccountInvalid):
        names.role(name)


async def test_what_comes_with_the_program_is_not_made_changed_or_removed(accounts: Changing) -> None:
    for change in (accounts.roles.create, accounts.roles.change):
        with pytest.raises(AccountInvalid):
            await change("reader", frozenset({Verb.PUSH}), by=OPERATOR)
    with pytest.raises(AccountInvalid):
        await accounts.roles.delete("reader", by=OPERATOR)


async def test_a_role_is_made_once_of_verbs_that_its_maker_holds(accounts: Changing) -> None:
    await accounts.roles.create("cleaner", frozenset({Verb.DELETE_TAG}), by=OPERATOR)
    some = by(Verb.PULL, Verb.WRITE_ROLES)

    with pytest.raises(AlreadyThere):
        await accounts.roles.create("cleaner", frozenset({Verb.PULL}), by=OPERATOR)
    with pytest.raises(AccountInvalid):
        await accounts.roles.create("empty", frozenset(), by=OPERATOR)
    with pytest.raises(GivesTooMuch):
        await accounts.roles.create("pusher", frozenset({Verb.PUSH}), by=some)
    with pytest.raises(GivesTooMuch):
        await accounts.roles.change("cleaner", frozenset({Verb.PULL}), by=some)
    with pytest.raises(RoleUnknown):
        await accounts.roles.change("pusher", frozenset({Verb.PULL}), by=OPERATOR)


async def test_a_member_holds_what_the_team_holds(accounts: Changing) -> None:
    await accounts.user("ann")
    await accounts.project("team")
    await accounts.teams.create("@dev", by=OPERATOR)
    await accounts.grant("@dev", "writer", "team")

    added = await accounts.teams.add_member("dev", "ann", by=OPERATOR)
    again = await accounts.teams.add_member("@dev", "ann", by=OPERATOR)
    held = await accounts.may("ann", Verb.PUSH, "team/app")
    await accounts.teams.remove_member("dev", "ann", by=OPERATOR)

    assert (added, again, held) == (True, False, True)
    assert not await accounts.may("ann", Verb.PUSH, "team/app")


async def test_a_team_of_a_group_has_those_whom_its_source_told_of(accounts: Changing) -> None:
    await accounts.user("first")
    await accounts.project("team")
    await accounts.teams.create("dev", group=Group.parse("ldap:corp=developers"), by=OPERATOR)
    await accounts.grant("@dev", "writer", "team")
    for name, source, groups in (
        ("ann", "ldap:corp", ("developers",)),
        ("bob", "ldap:corp", ("sales",)),
        ("eve", "oidc:corp", ("developers",)),
    ):
        told = SignedIn(source, name, name, "", "", groups)
        await accounts.database.write(partial(sign_ins.remember, told=told))

    assert [await accounts.may(name, Verb.PUSH, "team/app") for name in ("ann", "bob", "eve")] == [True, False, False]


@pytest.mark.parametrize(
    "text", ["", "developers", "ldap:corp", "ldap:corp=", "local=dev", "ldap:=x", "ldap:corp=a\nb"]
)
def test_such_a_group_is_refused(text: str) -> None:
    with pytest.raises(AccountInvalid):
        Group.parse(text)


async def test_a_deleted_team_gives_nothing(accounts: Changing) -> None:
    await accounts.user("ann")
    await accounts.teams.create("dev", by=OPERATOR)
    await accounts.grant("@dev", "admin")
    await accounts.teams.add_member("dev", "ann", by=OPERATOR)

    await accounts.teams.delete("dev", by=OPERATOR)

    assert not await accounts.may("ann", Verb.READ_SYSTEM, "team/app")
    assert (await accounts.users.show("ann")).teams == []


async def test_nobody_joins_a_team_that_holds_more_than_he(accounts: Changing) -> None:
    await accounts.user("eve")
    await accounts.teams.create("root", by=OPERATOR)
    await accounts.grant("@root", "admin")

    with pytest.raises(GivesTooMuch):
        await accounts.teams.add_member("root", "eve", by=by(Verb.WRITE_USERS))
    with pytest.raises(AccountInvalid, match="not teams"):
        await accounts.teams.add_member("root", "@root", by=OPERATOR)


async def test_a_robot_holds_its_role_on_its_project_alone(accounts: Changing) -> None:
    await accounts.project("team")
    await accounts.project("other")

    robot, made = await accounts.robots.create("team+ci", "writer", pattern="web/**", by=OPERATOR)

    assert (robot.project, made.token.kind) == ("team", "robot")
    assert await accounts.may("team+ci", Verb.PUSH, "team/web/front")
    assert not await accounts.may("team+ci", Verb.PUSH, "team/app")
    assert not await accounts.may("team+ci", Verb.PULL, "other/app")
    assert [one.name for one in await accounts.robots.page("team", size=9)] == ["team+ci"]
    assert await accounts.robots.page("other", size=9) == []


async def test_a_robot_of_the_system_holds_its_role_everywhere(accounts: Changing) -> None:
    await accounts.project("team")

    robot, _ = await accounts.robots.create("+mirror", "reader", by=OPERATOR)

    assert robot.project is None
    assert await accounts.may("+mirror", Verb.PULL, "team/app")


async def test_a_deleted_robot_leaves_no_secret(accounts: Changing) -> None:
    await accounts.project("team")
    await accounts.robots.create("team+ci", "writer", by=OPERATOR)

    await accounts.robots.delete("team+ci", by=OPERATOR)

    assert await accounts.tokens.page(over=True, size=9) == []
    assert await accounts.grants.page(size=9) == []
    with pytest.raises(PrincipalUnknown):
        await accounts.robots.show("team+ci")


async def test_a_robot_of_a_deleted_project_is_nothing_in_the_next_one_of_its_name(accounts: Changing) -> None:
    team = await accounts.project("team")
    await accounts.robots.create("team+ci", "writer", by=OPERATOR)
    await accounts.database.write(lambda tx: tx.execute(f"UPDATE projects SET name = 'team@1' WHERE id = {team}"))

    await accounts.project("team")

    assert not await accounts.may("team+ci", Verb.PULL, "team/app")
    with pytest.raises(AlreadyThere, match=r"pierhead robot delete team\+ci"):
        await accounts.robots.create("team+ci", "writer", by=OPERATOR)
    await accounts.robots.delete("team+ci", by=OPERATOR)
    assert (await accounts.robots.create("team+ci", "writer", by=OPERATOR))[0].project == "team"


@pytest.mark.parametrize("name", ["ci", "team+", "+", "Team+ci", "team/app+ci", "team+ci+x", "team+CI"])
def test_such_a_name_of_a_robot_is_refused(name: str) -> None:
    with pytest.raises(AccountInvalid):
        names.robot(name)


async def test_nobody_makes_a_robot_that_may_more_than_he(accounts: Changing) -> None:
    await accounts.project("team")
    some = by(*WRITER, Verb.WRITE_ROBOTS)

    with pytest.raises(GivesTooMuch):
        await accounts.robots.create("team+ci", "maintainer", by=some)
    with pytest.raises(PrincipalUnknown):
        await accounts.robots.show("team+ci")
    robot, _ = await accounts.robots.create("team+ci", "writer", by=some)
    assert robot.name == "team+ci"
