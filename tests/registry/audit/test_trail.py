"""Finding events: by anything, page by page, whether they are sealed or not; and writing them out."""

import csv
import io
import json
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from pierhead.metadata.database import Copyable, Transaction
from pierhead.metadata.trail import Event, Filters
from pierhead.models import RepositoryName
from pierhead.registry.audit import Audit, telling
from tests.contracts.database import Place
from tests.registry.acting import ALICE as PUSHER
from tests.registry.audit.trails import ALICE, ALL, happen, trail

pytestmark = pytest.mark.anyio

APP = RepositoryName("team/app")
BOB = replace(ALICE, name="bob", address="192.0.2.2", request_id="r2", credential_id=7)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def both(place: Place) -> AsyncIterator[tuple[Audit, Copyable]]:
    """Thirty events of each of two, of which the last are not sealed."""
    async with trail(place) as (audit, database):
        for number in range(3):
            await happen(database, 10, "grant.added", ALICE)
            await happen(database, 10, "grant.removed", BOB)
            if number < 2:
                await audit.sealing.run()
        yield audit, database


async def pages(audit: Audit, filters: Filters, *, size: int, repository: RepositoryName | None = None) -> list[Event]:
    found: list[Event] = []
    place = None
    while True:
        page = await audit.page(filters, repository, before=place, size=size)
        assert len(page.events) <= size
        found += page.events
        if page.next is None:
            return found
        place = page.next


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        (ALL, 60),
        (Filters(actor="bob"), 30),
        (Filters(action="grant.added"), 30),
        (Filters(address="192.0.2.2"), 30),
        (Filters(subject="grant:3"), 6),
        (Filters(credential_id=7), 30),
        (Filters(request_id="r1"), 30),
        (Filters(actor="bob", subject="grant:3"), 3),
        (Filters(actor="bob", action="grant.added"), 0),
        (Filters(outcome="refused"), 0),
    ],
)
async def test_all_that_fits_is_found_once_the_latest_first(
    both: tuple[Audit, Copyable], filters: Filters, count: int
) -> None:
    for size in (1, 7, 1000):
        found = await pages(both[0], filters, size=size)
        assert len({event.id for event in found}) == len(found) == count
        assert [event.place for event in found] == sorted((event.place for event in found), reverse=True)
        assert all(filters.fits(event) for event in found)


async def test_a_time_is_from_and_up_to(both: tuple[Audit, Copyable]) -> None:
    everything = await pages(both[0], ALL, size=1000)
    since, until = everything[49].at, everything[9].at
    wanted = [event.id for event in everything if since <= event.at < until]

    for filters in (Filters(since=since, until=until), Filters(since=since, until=until, outcome="done")):
        assert [event.id for event in await pages(both[0], filters, size=7)] == wanted


async def test_events_that_are_sealed_between_two_pages_are_neither_left_out_nor_told_twice(
    both: tuple[Audit, Copyable],
) -> None:
    audit, _ = both
    first = await audit.page(ALL, size=10)
    await audit.sealing.run()
    second = await audit.page(ALL, before=first.next, size=100)

    assert len({event.id for event in first.events + second.events}) == 60


async def test_few_that_fit_among_many_that_do_not_are_found_by_pages_of_bounded_work(place: Place) -> None:
    async with trail(place) as (audit, database):
        await happen(database, 3, "rare")
        await happen(database, 2500, "common")
        await audit.sealing.run()

        page = await audit.page(Filters(actor="alice", subject="grant:1", action="rare"), size=10)
        assert [event.action for event in page.events] == ["rare"]
        page = await audit.page(Filters(actor="alice", action="rare"), size=10)
        assert (page.events, page.next is None) == ([], False)
        assert len(await pages(audit, Filters(actor="alice", action="rare"), size=10)) == 3


async def test_a_repository_is_found_by_its_name_with_those_that_had_it_before(place: Place) -> None:
    async def fill(tx: Transaction) -> None:
        await tx.execute("INSERT INTO projects (id, name, created_at) VALUES (1, 'team', 0)")
        for identity, name in ((1, "team/app@1"), (2, "team/app"), (3, "team/other")):
            await tx.execute(
                "INSERT INTO repositories (id, project_id, name, created_at) VALUES (:id, 1, :name, 0)",
                id=identity,
                name=name,
            )
            for at in (identity, identity + 10):
                await tx.execute(
                    "INSERT INTO events (at, action, repository_id, actor, credential, address, agent, request_id)"
                    " VALUES (:at, 'tag.moved', :id, 'alice', 'basic', '', '', '')",
                    at=at,
                    id=identity,
                )

    async with trail(place) as (audit, database):
        await database.write(fill)
        await audit.sealing.run()

        found = await pages(audit, ALL, size=3, repository=APP)
        assert [(event.at, event.repository_id) for event in found] == [(12, 2), (11, 1), (2, 2), (1, 1)]
        assert await pages(audit, ALL, size=3, repository=RepositoryName("team/none")) == []


async def test_what_is_written_out_is_all_that_was_found_and_a_spreadsheet_computes_none_of_it(place: Place) -> None:
    async with trail(place) as (audit, database):
        for name in ("=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\n=1", "\uff1d1+1", "plain", 'quoted "x", y'):
            await happen(database, actor=replace(PUSHER, name=name))
        await audit.sealing.run()
        events = [event async for event in audit.export(ALL)]

        text = telling.csv_head() + "".join(map(telling.csv_line, events))
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        assert [row["actor"] for row in rows][::-1] == [
            "'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\tx", "'\n=1", "'\uff1d1+1", "plain", 'quoted "x", y',
        ]  # fmt: skip
        lines: list[dict[str, Any]] = [json.loads(telling.json_line(event)) for event in events]
        assert [line["actor"] for line in lines][::-1][:2] == ["=1+1", "+1"]
        assert tuple(lines[0]) == telling.COLUMNS == tuple(rows[0])
        assert lines[0]["details"] == {"number": 0}


async def test_writing_out_holds_no_more_than_some_pages(at_sqlite: str) -> None:
    async with trail(Place("sqlite", at_sqlite)) as (audit, database):
        await happen(database, 8_000)
        await audit.sealing.run()
        tracemalloc.start()
        count = 0
        async for _ in audit.export(ALL):
            count += 1
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert count == 8_000
        assert most < 6_000_000
