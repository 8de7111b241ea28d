"""The catalog for one who sees a part of it."""

import time
from typing import Any

import pytest

from pierhead.metadata import visible
from pierhead.metadata.database import Row, Transaction
from pierhead.models import EVERYTHING, RepositoryName, Visible
from tests.contracts.database import Place
from tests.metadata.rows import add_manifest

pytestmark = pytest.mark.anyio

NAMES = ("a", "a-b", "a/b", "a/b/c", "b/x", "b/y", "c/open", "c/shut", "d")


async def fill(tx: Transaction) -> dict[str, int]:
    for name in NAMES:
        await add_manifest(tx, RepositoryName(name), "m")
    await tx.execute("UPDATE projects SET visibility = 'public' WHERE name = 'd'")
    await tx.execute("UPDATE repositories SET visibility = 'public' WHERE name = 'c/open'")
    return {name: number for number, name in await tx.fetch_all("SELECT id, name FROM projects")}


async def paged(tx: Transaction, sees: Visible, size: int) -> list[str]:
    """Page by page, as a client goes on."""
    found: list[str] = []
    while page := await visible.names_after(tx, found[-1] if found else "", sees, limit=size):
        found += page
    return found


@pytest.mark.parametrize("size", [1, 2, 100])
async def test_each_sees_what_is_public_and_his_in_the_order_of_their_bytes(tx: Transaction, size: int) -> None:
    ids = await fill(tx)

    assert await paged(tx, EVERYTHING, size) == sorted(NAMES)
    assert await paged(tx, Visible(), size) == ["c/open", "d"]
    assert await paged(tx, Visible(projects=frozenset({ids["a"]})), size) == ["a", "a/b", "a/b/c", "c/open", "d"]
    assert await paged(tx, Visible(patterns=((ids["a"], "b/**"),)), size) == ["a/b", "a/b/c", "c/open", "d"]
    assert await paged(tx, Visible(patterns=((ids["a"], "*"), (ids["b"], "x"))), size) == ["a/b", "b/x", "c/open", "d"]
    assert await paged(tx, Visible(public=False), size) == []


@pytest.mark.parametrize("size", [1, 100])
async def test_a_narrow_token_takes_away_and_gives_nothing(tx: Transaction, size: int) -> None:
    ids = await fill(tx)
    within = ((ids["a"], "b/**"), (ids["c"], "**"))

    assert await paged(tx, Visible(everything=True, within=within), size) == ["a/b", "a/b/c", "c/open", "c/shut"]
    assert await paged(tx, Visible(within=within), size) == ["c/open"]
    assert await paged(tx, Visible(projects=frozenset({ids["b"]}), within=()), size) == []


@pytest.mark.parametrize("size", [1, 2, 100])
async def test_what_a_narrow_token_names_and_may_not_be_seen_hides_nothing_behind_it(
    tx: Transaction, size: int
) -> None:
    for name in ("c/a", "c/b", "c/c"):
        await add_manifest(tx, RepositoryName(name), "m")
    ids = await fill(tx)

    assert await paged(tx, Visible(within=((ids["c"], "**"),)), size) == ["c/open"]


async def test_a_pattern_that_fits_nothing_is_looked_for_in_few_pieces(
    tx: Transaction, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(300):
        await add_manifest(tx, RepositoryName(f"big/r{number}"), "m")
    row = await tx.fetch_one("SELECT id FROM projects WHERE name = 'big'")
    assert row is not None
    asked: list[str] = []
    fetch_all = tx.fetch_all

    async def counting(sql: str, **values: Any) -> list[Row]:
        asked.append(sql)
        return await fetch_all(sql, **values)

    monkeypatch.setattr(tx, "fetch_all", counting)
    await visible.names_after(tx, "", Visible(everything=True, within=((row[0], "**/z"),)), limit=1)

    assert len(asked) < 15


async def test_more_public_projects_than_are_asked_one_by_one(tx: Transaction, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = await fill(tx)
    monkeypatch.setattr(visible, "_PUBLIC_MAX", 0)

    assert await paged(tx, Visible(projects=frozenset({ids["b"]})), 2) == ["b/x", "b/y", "c/open", "d"]


async def test_a_page_of_ten_among_a_hundred_thousand_takes_five_milliseconds(place: Place) -> None:
    async with place.open() as database:
        sees = Visible(projects=frozenset({await database.write(_fill_with_others)}))

        async def page(tx: Transaction) -> list[RepositoryName]:
            return await visible.names_after(tx, "", sees, limit=101)

        assert len(await database.read(page)) == 10
        taken = []
        for _ in range(25):  # other work may be going on
            began = time.perf_counter()
            await database.read(page)
            taken.append(time.perf_counter() - began)
        assert min(taken) < 0.005


async def _fill_with_others(tx: Transaction) -> int:
    """Ten repositories of one project, whose id is returned, and a hundred thousand of others."""
    await add_manifest(tx, RepositoryName("his/app"), "m")
    await tx.execute_many(
        "INSERT INTO projects (name, created_at) VALUES (:name, 1)", [{"name": f"p{number}"} for number in range(1000)]
    )
    await tx.execute(
        """
        INSERT INTO repositories (project_id, name, created_at)
        SELECT one.id, one.name || '/r' || other.id, 1
          FROM projects AS one, (SELECT id FROM projects ORDER BY id LIMIT 100) AS other
         WHERE one.name LIKE 'p%'
        """
    )
    await tx.execute(
        """
        INSERT INTO manifests (repository_id, digest, media_type, size, pushed_at)
        SELECT repositories.id, manifests.digest, 'm', 1, 1 FROM repositories, manifests
         WHERE repositories.name LIKE 'p%'
        """
    )
    for number in range(9):
        await add_manifest(tx, RepositoryName(f"his/app{number}"), "m")
    row = await tx.fetch_one("SELECT id FROM projects WHERE name = 'his'")
    assert row is not None
    found: int = row[0]
    return found
