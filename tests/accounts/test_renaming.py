"""Projects and repositories under other names: what stays, what the old name does, and who waits for whom."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from pierhead.access.decisions import Decisions, Given
from pierhead.accounts import projects as rules
from pierhead.accounts.scopes import Scope
from pierhead.accounts.tokens import Asked
from pierhead.errors import (
    AccountInvalid,
    AliasUnknown,
    AlreadyThere,
    Busy,
    ManifestPartUnknown,
    NameTaken,
    ProjectUnknown,
    RepositoryUnknown,
)
from pierhead.metadata import copies, repositories, uploads
from pierhead.models import Actor, RepositoryName
from pierhead.verbs import Verb
from tests.accounts.changing import OPERATOR, Changing
from tests.contracts.database import Place
from tests.registry.pushing import ALICE, Pushing, pushing

pytestmark = pytest.mark.anyio

OLD, NEW = RepositoryName("team/app"), RepositoryName("squad/app")


@pytest.fixture
async def app(place: Place, tmp_path: Path) -> AsyncIterator[Pushing]:
    async with pushing(place, tmp_path) as app:
        yield app


@pytest.fixture
def accounts(app: Pushing) -> Changing:
    return Changing(app.database, copied=True)


async def rename(accounts: Changing, before: str, after: str) -> None:
    if "/" in before:
        await accounts.projects.renaming.repository(RepositoryName(before), RepositoryName(after), by=OPERATOR)
    else:
        await accounts.projects.renaming.project(before, after, by=OPERATOR)


async def led_to(accounts: Changing, name: str) -> str:
    """What a request for a name is about."""
    decisions = Decisions(accounts.database, Given())
    await decisions.epoch()
    return (await decisions.place(RepositoryName(name))).name


async def tags(app: Pushing, name: str) -> list[str]:
    return list((await app.registry.tags.page(RepositoryName(name), after="", size=10)).names)


async def test_a_project_keeps_what_it_has_and_the_old_name_leads_to_it(app: Pushing, accounts: Changing) -> None:
    await app.image("a", "v1")
    repository_id = await app.database.read(lambda tx: repositories.identify(tx, OLD))

    await rename(accounts, "team", "squad")

    assert await app.database.read(lambda tx: repositories.identify(tx, NEW)) == repository_id
    assert await tags(app, "squad/app") == ["v1"]
    assert await led_to(accounts, "team/app") == "squad/app"
    assert await led_to(accounts, "team/new") == "squad/new"
    assert (await app.registry.history.page(NEW, None, before=None, size=9)).entries
    assert ("project.renamed", "project:squad") in await accounts.events()


async def test_grants_and_robots_go_with_a_project(app: Pushing, accounts: Changing) -> None:
    await app.image("a", "v1")
    await accounts.user("ann")
    await accounts.grant("ann", "writer", "team/app")
    _, made = await accounts.robots.create("team+ci", "writer", by=OPERATOR)

    await rename(accounts, "team", "squad")

    assert await accounts.may("ann", Verb.PUSH, "squad/app")
    assert await accounts.may("ann", Verb.PUSH, "team/app")
    assert await accounts.may("squad+ci", Verb.PUSH, "squad/app")
    assert (await accounts.tokens.find(made.token.id)).owner == "squad+ci"


async def test_nobody_else_gets_the_old_name_until_it_is_let_go_of(app: Pushing, accounts: Changing) -> None:
    await app.image("a", "v1")
    await rename(accounts, "team", "squad")

    with pytest.raises(Busy):  # a push that was let in under the old name: the next try is led to the new one
        await app.image("b", "v2")
    with pytest.raises(AlreadyThere, match="pierhead project alias remove team"):
        await accounts.project("team")
    removed = await accounts.projects.renaming.remove_alias("team", by=OPERATOR)
    await app.image("b", "v2")

    assert removed.target == "squad"
    assert await tags(app, "team/app") == ["v2"]
    assert await tags(app, "squad/app") == ["v1"]
    assert await led_to(accounts, "team/app") == "team/app"
    with pytest.raises(AliasUnknown):
        await accounts.projects.renaming.remove_alias("team", by=OPERATOR)


async def test_a_project_gets_its_first_name_back(app: Pushing, accounts: Changing) -> None:
    await app.image("a", "v1")

    await rename(accounts, "team", "squad")
    await rename(accounts, "squad", "team")

    assert await tags(app, "team/app") == ["v1"]
    assert [one.name for one in await accounts.projects.renaming.aliases(size=9)] == ["squad"]
    assert await led_to(accounts, "squad/app") == "team/app"


async def test_a_repository_moves_to_another_project_with_history_and_trash(app: Pushing, accounts: Changing) -> None:
    await app.image("a", "v1")
    await app.image("b", "v2")
    await app.registry.tags.delete(OLD, "v2", actor=ALICE)  # type: ignore[arg-type]  # a tag's name
    await accounts.project("squad")

    await rename(accounts, "team/app", "squad/app")
    entry = await app.registry.trash.restoring.tag(NEW, "v2", reason=None, actor=ALICE)  # type: ignore[arg-type]  # so

    assert entry.name == "squad/app"
    assert await tags(app, "squad/app") == ["v1", "v2"]
    assert await led_to(accounts, "team/app") == "squad/app"
    assert await led_to(accounts, "team/other") == "team/other"


async def test_grants_and_tokens_on_a_repository_by_its_name_go_with_it(app: Pushing, accounts: Changing) -> None:
    await app.image("a", "v1")
    await accounts.user("ann")
    await accounts.user("bob")
    await accounts.project("squad")
    await accounts.grant("ann", "writer", "team/app")
    await accounts.grant("bob", "writer", "team/*")
    asked = Asked("ci", places=(Scope.parse("team/app"), Scope.parse("team/other")))
    made = await accounts.tokens.create("ann", asked, by=OPERATOR)

    await rename(accounts, "team/app", "squad/web/app")

    assert await accounts.may("ann", Verb.PUSH, "squad/web/app")
    assert not await accounts.may("bob", Verb.PUSH, "squad/web/app")
    listed = await accounts.tokens.page("ann", size=9)
    assert [one.places for one in listed] == [("squad/web/app", "team/other")]
    assert listed[0].token.id == made.token.id


async def test_what_was_deleted_comes_back_under_the_new_name_of_its_project(app: Pushing, accounts: Changing) -> None:
    await app.image("a", "v1")
    await app.registry.trash.delete_repository(OLD, actor=ALICE)

    await rename(accounts, "team", "squad")
    with pytest.raises(NameTaken):
        await app.registry.trash.restoring.repository(NEW, as_name=OLD, reason=None, actor=ALICE)
    await app.registry.trash.restoring.repository(NEW, reason=None, actor=ALICE)

    assert await tags(app, "squad/app") == ["v1"]


async def test_an_upload_goes_on_under_the_new_name(app: Pushing, accounts: Changing) -> None:
    await app.image("a", "v1")
    begun = await app.registry.uploads.start(OLD)
    await app.database.write(lambda tx: uploads.add(tx, begun))

    await rename(accounts, "team", "squad")

    assert (await app.registry.uploads.find(NEW, begun.id)).repository == NEW


async def test_the_store_is_told_of_the_new_name(app: Pushing, accounts: Changing) -> None:
    digest = await app.image("a", "v1")

    await rename(accounts, "team", "squad")

    owed = await app.database.read(lambda tx: copies.oldest(tx, limit=99))
    assert [(one.what, one.repository, one.tag, one.digest) for one in owed[-3:]] == [
        ("deleted", OLD, None, digest),
        ("pushed", NEW, None, digest),
        ("pushed", NEW, "v1", digest),
    ]


async def test_a_name_that_is_taken_is_refused(app: Pushing, accounts: Changing) -> None:
    await app.image("a", "v1")
    await app.elsewhere("team/other").image("b", "v1")
    await accounts.project("squad")

    with pytest.raises(AlreadyThere):
        await rename(accounts, "team", "squad")
    with pytest.raises(AlreadyThere):
        await rename(accounts, "team", "team")
    with pytest.raises(AlreadyThere):
        await rename(accounts, "team/app", "team/other")
    with pytest.raises(ProjectUnknown):
        await rename(accounts, "team/app", "nowhere/app")
    with pytest.raises(ProjectUnknown):
        await rename(accounts, "nowhere", "somewhere")
    with pytest.raises(RepositoryUnknown):
        await rename(accounts, "team/none", "team/some")
    with pytest.raises(AccountInvalid):
        await rename(accounts, "team", "no/project")
    assert await tags(app, "team/app") == ["v1"]
    assert await accounts.projects.renaming.aliases(size=9) == []


async def test_a_name_that_leads_elsewhere_is_refused(app: Pushing, accounts: Changing) -> None:
    await app.image("a", "v1")
    await app.elsewhere("team/other").image("b", "v1")
    await rename(accounts, "team/app", "team/moved")

    with pytest.raises(AlreadyThere, match="leads to team/moved"):
        await rename(accounts, "team/other", "team/app")
    with pytest.raises(RepositoryUnknown, match="it is called team/moved now"):
        await rename(accounts, "team/app", "team/new")
    await rename(accounts, "team/moved", "team/app")
    assert [one.name for one in await accounts.projects.renaming.aliases(size=9)] == ["team/moved"]


async def test_names_would_be_too_long(app: Pushing, accounts: Changing) -> None:
    await app.elsewhere("team/" + "a" * 240).image("a", "v1")

    with pytest.raises(AccountInvalid, match="255"):
        await rename(accounts, "team", "a-much-longer-name")


async def test_a_push_at_once_is_under_one_of_both_names_and_lost_under_neither(
    app: Pushing, accounts: Changing
) -> None:
    await app.image("a", "v0")

    async def push(number: int) -> str | None:
        try:
            await app.image("a", f"v{number}")
        except (Busy, RepositoryUnknown, ManifestPartUnknown):  # it was renamed meanwhile; a client tries again
            return None
        return f"v{number}"

    pushed, *_ = await asyncio.gather(
        asyncio.gather(*(push(number) for number in range(1, 9))), rename(accounts, "team", "squad")
    )

    held = await tags(app, "squad/app")
    assert set(held) == {"v0", *(tag for tag in pushed if tag)}
    assert await app.database.read(lambda tx: repositories.identify(tx, OLD)) is None


async def test_visibility_is_of_a_project_and_of_a_repository_apart(app: Pushing, accounts: Changing) -> None:
    await app.image("a", "v1")
    await app.elsewhere("team/other").image("b", "v1")
    await accounts.user("first")

    async def pulls(name: str) -> bool:
        return await accounts.may("anonymous", Verb.PULL, name)

    private = await pulls("team/app")
    await accounts.projects.set_visibility("team", "public", by=OPERATOR)
    public = await pulls("team/app")
    await accounts.projects.set_visibility_of_repository(OLD, "private", by=OPERATOR)
    apart = await pulls("team/app"), await pulls("team/other")
    await accounts.projects.set_visibility_of_repository(OLD, None, by=OPERATOR)

    assert (private, public, apart) == (False, True, (False, True))
    assert await pulls("team/app")
    done = [action for action, _ in await accounts.events() if "visibility" in action]
    assert done == ["project.visibility-set", "repository.visibility-set", "repository.visibility-set"]


async def test_a_project_has_the_administrator_that_was_said(accounts: Changing) -> None:
    await accounts.user("ann")

    await accounts.projects.create("team", admin="ann", by=OPERATOR)

    assert await accounts.may("ann", Verb.DELETE_PROJECT, "team/app")
    assert [one.role for one in (await accounts.projects.show("team")).grants] == ["admin"]
    with pytest.raises(AlreadyThere):
        await accounts.project("team")


async def test_a_user_gets_a_project_of_his_own_once(accounts: Changing) -> None:
    ann = await accounts.user("ann")
    eve = await accounts.user("eve@example.org")
    bob = await accounts.user("bob")
    await accounts.project("bob")

    made = [
        await accounts.database.write(partial(rules.personal, principal_id=number, name=name, actor=Actor(name)))
        for number, name in ((ann, "ann"), (ann, "ann"), (eve, "eve@example.org"), (bob, "bob"))
    ]

    assert made[0] is not None
    assert made == [made[0], made[0], None, None]
    assert (await accounts.projects.show("ann")).project.owner == "ann"
    assert await accounts.may("ann", Verb.DELETE_PROJECT, "ann/app")
    assert not await accounts.may("bob", Verb.PULL, "bob/app")
