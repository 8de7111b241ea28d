"""Pulls, sign-ins and refusals: noted at once, written a moment later, never waited for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from pierhead.errors import MetadataUnavailable
from pierhead.metadata.trail import Event
from pierhead.models import Digest, RepositoryName, TagName
from pierhead.registry.audit import Audit, notes
from pierhead.registry.audit.notes import Notes
from tests.contracts.database import Place
from tests.registry.audit.trails import ALICE, ALL, trail

pytestmark = pytest.mark.anyio

APP = RepositoryName("team/app")
DIGEST = Digest("sha256:" + "a" * 64)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def told(audit: Audit) -> list[Event]:
    """The oldest first."""
    return (await audit.page(ALL, size=1000)).events[::-1]


@asynccontextmanager
async def running(audit: Audit) -> AsyncIterator[None]:
    task = asyncio.create_task(audit.run())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(
    ("settings", "manifests", "blobs"),
    [
        ({}, 0, 0),
        ({"pulls": "all"}, 1000, 0),
        ({"pulls": "all", "pulls_of_blobs": True}, 1000, 1000),
        ({"pulls": "sampled", "pull_sample": 0.5, "pulls_of_blobs": True}, 500, 500),
    ],
)
async def test_as_many_pulls_are_noted_as_the_settings_say(
    at_sqlite: str, settings: dict[str, Any], manifests: int, blobs: int
) -> None:
    async with trail(Place("sqlite", at_sqlite), **settings) as (audit, _):
        found = [sum(audit.wants_pull(blob=blob) for _ in range(1000)) for blob in (False, True)]

    assert [abs(one - wanted) < 100 for one, wanted in zip(found, (manifests, blobs), strict=True)] == [True, True]


async def test_what_was_noted_is_written_by_itself_and_at_the_end(place: Place) -> None:
    async with trail(place, pulls="all") as (audit, _):
        async with running(audit):
            audit.pulled(APP, DIGEST, ALICE, tag=TagName("v1"))
            for _ in range(100):
                if await told(audit):
                    break
                await asyncio.sleep(0.05)
            assert len(await told(audit)) == 1
            audit.pulled(APP, DIGEST, ALICE, blob=True)
            audit.signed_in(ALICE, way="password")

        events = await told(audit)
        assert [(one.action, one.subject, one.tag, one.after) for one in events] == [
            ("manifest.pulled", "repository:team/app", "v1", DIGEST),
            ("blob.pulled", "repository:team/app", None, DIGEST),
            ("signed-in", "user:alice", None, None),
        ]
        assert all(one.actor == ALICE for one in events)
        assert events[2].details == '{"way":"password"}'


async def test_somebody_who_tries_passwords_makes_two_events_a_minute(place: Place) -> None:
    async with trail(place) as (audit, _):
        async with running(audit):
            for _ in range(10_000):
                audit.refused(ALICE, "wrong password")
            audit.refused(replace(ALICE, address="192.0.2.9"), "wrong password", repository=APP)

        events = await told(audit)
        assert sorted((one.actor.address, one.outcome, one.reason, one.details or "") for one in events) == [
            ("192.0.2.1", "refused", "wrong password", ""),
            ("192.0.2.1", "refused", "wrong password", '{"again":9999}'),
            ("192.0.2.9", "refused", "wrong password", ""),
        ]


async def test_names_that_are_made_up_do_not_fill_the_disk(place: Place) -> None:
    async with trail(place, refusals_per_minute=100) as (audit, _):
        async with running(audit):
            for number in range(5_000):
                audit.refused(replace(ALICE, name=f"user{number}"), "wrong password")

        events = await told(audit)
        assert len(events) == 101
        assert [(one.actor.name, one.details) for one in events if one.actor.name == "(others)"] == [
            ("(others)", '{"again":4900}')
        ]


async def test_the_next_minute_tells_anew(at_sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000_000_000
    monkeypatch.setattr(notes, "monotonic", lambda: now)
    monkeypatch.setattr("pierhead.registry.audit.monotonic", lambda: now)
    async with trail(Place("sqlite", at_sqlite)) as (audit, _):
        for _ in range(3):
            audit.signed_in(ALICE, way="token")
        assert await audit.notes.write()
        assert [one.details for one in await told(audit)] == ['{"way":"token"}']
        now += 61_000_000
        assert await audit.notes.write()
        assert [one.details for one in await told(audit)] == ['{"way":"token"}', '{"again":2,"way":"token"}']
        audit.signed_in(ALICE, way="token")
        assert await audit.notes.write()
        assert len(await told(audit)) == 3


async def test_what_does_not_fit_is_dropped_and_counted(place: Place) -> None:
    counted: list[int] = []
    async with trail(place) as (audit, database):
        full = Notes(database, limit=100, refusals=10, dropped=counted.append)
        audit.notes = full
        for _ in range(130):
            audit.pulled(APP, DIGEST, ALICE)
        assert await full.write()

        events = await told(audit)
        assert sum(counted) == 30
        assert [one.action for one in events].count("manifest.pulled") == 100
        assert [(one.action, one.details) for one in events if one.action != "manifest.pulled"] == [
            ("audit.dropped", '{"count":30}')
        ]


class Away:
    """A database that is away for a while."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self.away = True

    def write(self, operation: Any, *, durable: bool = True) -> Awaitable[Any]:
        if self.away:
            raise MetadataUnavailable("away")
        written: Awaitable[Any] = self._database.write(operation, durable=durable)
        return written


async def test_while_the_database_is_away_nobody_waits_and_afterwards_it_is_written(at_sqlite: str) -> None:
    async with trail(Place("sqlite", at_sqlite)) as (audit, database):
        away: Any = Away(database)
        audit.notes = Notes(away, limit=1000, refusals=10)
        for number in range(600):
            audit.pulled(APP, DIGEST, replace(ALICE, request_id=str(number)))
        assert not await audit.notes.write()
        away.away = False
        assert await audit.notes.write()

        assert [one.actor.request_id for one in await told(audit)] == [str(number) for number in range(600)]


async def test_whatever_a_client_calls_itself_can_be_written(place: Place) -> None:
    async with trail(place) as (audit, _):
        odd = replace(ALICE, name="a\0b\n\udcff" + "x" * 500, agent="\x1b[31m")
        audit.refused(odd, "unknown name \0" + "y" * 500)
        assert await audit.notes.write()

        [event] = await told(audit)
        assert event.actor.name.startswith("a\ufffdb\ufffd\ufffdx")
        assert (len(event.actor.name), event.actor.agent) == (256, "\ufffd[31m")
        assert event.reason is not None
        assert event.reason.startswith("unknown name \ufffdy")
        assert len(event.reason) == 256
