import pytest

from pierhead.metadata import repositories, visible
from pierhead.metadata.database import Transaction
from pierhead.models import EVERYTHING, RepositoryName
from tests.metadata.rows import APP, OTHER, add_manifest

pytestmark = pytest.mark.anyio


async def test_an_unknown_repository_has_no_id(tx: Transaction) -> None:
    assert await repositories.identify(tx, APP) is None


async def test_a_repository_is_made_once(tx: Transaction) -> None:
    first = await repositories.ensure(tx, APP)

    assert await repositories.ensure(tx, APP) == first == await repositories.identify(tx, APP)


@pytest.mark.parametrize(("name", "project"), [("team/app", "team"), ("app", "app"), ("a/b/c/d", "a")])
async def test_the_project_is_the_first_segment(tx: Transaction, name: str, project: str) -> None:
    await repositories.ensure(tx, RepositoryName(name))

    assert await tx.fetch_all("SELECT name FROM projects") == [(project,)]


async def test_repositories_of_a_project_share_its_row(tx: Transaction) -> None:
    for name in ("team", "team/app", "team/other"):
        await repositories.ensure(tx, RepositoryName(name))

    assert await tx.fetch_all("SELECT name FROM projects") == [("team",)]
    assert await tx.fetch_one("SELECT count(DISTINCT project_id) FROM repositories") == (1,)


async def test_a_page_lists_those_that_hold_a_manifest_in_the_order_of_their_bytes(tx: Transaction) -> None:
    for name in ("b", "a-b", "a/b", "a", "a.b", "a_b"):
        await add_manifest(tx, RepositoryName(name), "m")
    await repositories.ensure(tx, OTHER)

    assert await visible.names_after(tx, "", EVERYTHING, limit=9) == ["a", "a-b", "a.b", "a/b", "a_b", "b"]
    assert await visible.names_after(tx, "a-b", EVERYTHING, limit=2) == ["a.b", "a/b"]
    assert await visible.names_after(tx, "b", EVERYTHING, limit=9) == []
