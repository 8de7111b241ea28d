import time

import pytest

from pierhead.metadata import events, repositories
from pierhead.metadata.database import Transaction
from pierhead.models import TagName
from tests.metadata.rows import ACTOR, APP, digest

pytestmark = pytest.mark.anyio


async def test_an_event_tells_who_did_what_from_where(tx: Transaction) -> None:
    began = time.time_ns() // 1000
    repository = await repositories.ensure(tx, APP)
    made = await events.record(
        tx, "manifest.pushed", repository, ACTOR, tag=TagName("v1"), before=digest("old"), after=digest("new")
    )

    row = await tx.fetch_one("SELECT * FROM events WHERE id = :id", id=made)
    assert row is not None
    assert began <= row[1] <= time.time_ns() // 1000
    assert row[2:] == (
        "manifest.pushed",
        repository,
        "v1",
        digest("old"),
        digest("new"),
        "alice",
        "basic",
        "192.0.2.1",
        "docker/29",
        "r1",
        None,
    )


async def test_events_are_numbered_in_their_order(tx: Transaction) -> None:
    repository = await repositories.ensure(tx, APP)
    numbers = [await events.record(tx, "blob.pushed", repository, ACTOR) for _ in range(3)]

    assert numbers == sorted(set(numbers))
