"""Names that lead to what was deleted, and rows of what was deleted: nobody gets at these by a name."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from pierhead.access.decisions import Decisions, Given
from pierhead.accounts import projects as rules
from pierhead.errors import AlreadyThere, NameTaken, ProjectUnknown, SecretUnknown
from pierhead.metadata.trail import Filters
from pierhead.models import Actor, RepositoryName
from pierhead.verbs import Verb
from tests.accounts.changing import OPERATOR, Changing
from tests.contracts.database import Place
from tests.registry.pushing import ALICE, Pushing, pushing

pytestmark = pytest.mark.anyio

OLD, NEW = RepositoryName("team/app"), RepositoryName("team/web")


@pytest.fixture
async def app(place: Place, tmp_path: Path) -> AsyncIterator[Pushing]:
    async with pushing(place, tmp_path) as app:
        yield app


@pytest.fixture
def accounts(app: Pushing) -> Changing:
    return Changing(app.database, copied=True)


async def led_to(accounts: Changing, name: str) -> str:
    decisions = Decisions(accounts.database, Given())
    await decisions.epoch()
    return (await decisions.place(RepositoryName(name))).name


async def names(app: Pushing) -> list[str]:
    return [name for (name,) in await app.rows("SELECT name FROM repositories ORDER BY id")]


async def test_a_name_leads_to_no_repository_that_was_purged(app: Pushing, accounts: Changing) -> None:
    await app.image("a", "v1")
    await accounts.projects.renaming.repository(OLD, NEW, by=OPERATOR)
    entry = await app.registry.trash.delete_repository(NEW, actor=ALICE)
    in_trash = await led_to(accounts, OLD)
    with pytest.raises(AlreadyThere):
        await app.image("b", "v2")
    await app.registry.trash.purge(entry.id, actor=ALICE)

    assert (in_trash, await led_to(accounts, OLD)) == (OLD, OLD)
    await app.image("b", "v2")
    assert await accounts.projects.renaming.aliases(size=9) == []


async def test_a_name_leads_to_no_project_that_was_purged(app: Pushing, accounts: Changing) -> None:
    await app.image("a", "v1")
    await accounts.projects.renaming.project("team", "squad", by=OPERATOR)
    entry = await app.registry.trash.delete_project("squad", actor=ALICE)
    in_trash = await led_to(accounts, OLD)
    with pytest.raises(AlreadyThere):
        await app.image("b", "v2")
    await app.registry.trash.purge(entry.id, actor=ALICE)

    assert (in_trash, await led_to(accounts, OLD)) == (OLD, OLD)
    await app.image("b", "v2")
    assert await accounts.projects.renaming.aliases(size=9) == []


async def test_what_was_deleted_is_not_changed_by_the_name_of_its_row(app: Pushing, accounts: Changing) -> None:
    await app.image("a", "v1")
    await app.registry.trash.delete_project("team", actor=ALICE)
    [(row,)] = await app.rows("SELECT name FROM projects")
    before = await names(app)

    with pytest.raises(ProjectUnknown):
        await accounts.projects.renaming.project(row, "squad", by=OPERATOR)
    with pytest.raises(ProjectUnknown):
        await accounts.projects.set_visibility(row, "public", by=OPERATOR)
    with pytest.raises(ProjectUnknown):
        await accounts.projects.show(row)

    assert await names(app) == before


async def test_a_user_whose_own_project_was_purged_gets_another_one(app: Pushing, accounts: Changing) -> None:
    ann = await accounts.user("ann")
    own = partial(rules.personal, principal_id=ann, name="ann", actor=Actor("ann"))
    first = await app.database.write(own)
    entry = await app.registry.trash.delete_project("ann", actor=ALICE)
    while_in_trash = await app.database.write(own)
    await app.registry.trash.purge(entry.id, actor=ALICE)

    assert while_in_trash == first
    assert await app.database.write(own) not in (None, first)
    assert await accounts.may("ann", Verb.PUSH, "ann/app")


async def test_a_project_comes_back_to_no_name_that_leads_elsewhere(app: Pushing, accounts: Changing) -> None:
    await app.image("a", "v1")
    await app.registry.trash.delete_project("team", actor=ALICE)
    await app.image("b", "v2")
    await accounts.projects.renaming.project("team", "squad", by=OPERATOR)

    with pytest.raises(NameTaken, match="team leads to squad; first: pierhead project alias remove team"):
        await app.registry.trash.restoring.project("team", reason=None, actor=ALICE)
    await accounts.projects.renaming.remove_alias("team", by=OPERATOR)
    await app.registry.trash.restoring.project("team", reason=None, actor=ALICE)

    assert await app.has("v1")


async def test_what_a_repository_is_called_and_who_sees_it_is_in_its_trail(app: Pushing, accounts: Changing) -> None:
    await app.image("a", "v1")
    await accounts.projects.set_visibility_of_repository(OLD, "public", by=OPERATOR)
    await accounts.projects.renaming.repository(OLD, NEW, by=OPERATOR)

    page = await app.registry.audit.page(Filters(), NEW, size=9)

    assert [(one.action, one.subject) for one in page.events][:2] == [
        ("repository.renamed", "repository:team/web"),
        ("repository.visibility-set", "repository:team/app"),
    ]


async def test_who_names_a_project_by_its_old_name_is_told_the_new_one(accounts: Changing) -> None:
    await accounts.project("team")
    await accounts.user("ann")
    await accounts.projects.renaming.project("team", "squad", by=OPERATOR)

    with pytest.raises(ProjectUnknown, match="team; it is called squad now"):
        await accounts.grant("ann", "reader", "team")


async def test_robots_of_a_project_stay_while_it_can_come_back_and_go_when_it_is_purged(
    app: Pushing, accounts: Changing
) -> None:
    await app.image("a", "v1")
    _, made = await accounts.robots.create("team+ci", "writer", by=OPERATOR)
    await app.registry.trash.delete_project("team", actor=ALICE)
    await app.registry.trash.restoring.project("team", reason=None, actor=ALICE)
    restored = await accounts.may("team+ci", Verb.PUSH, "team/app")

    entry = await app.registry.trash.delete_project("team", actor=ALICE)
    await app.registry.trash.purge(entry.id, actor=ALICE)
    with pytest.raises(SecretUnknown):
        await accounts.tokens.find(made.token.id)
    await accounts.project("team")
    await accounts.robots.create("team+ci", None, by=OPERATOR)

    assert restored
    assert not await accounts.may("team+ci", Verb.PULL, "team/app")
    assert ("robot.deleted", "robot:team+ci") in await accounts.events()
