import json
import time
from dataclasses import replace

import pytest

from pierhead.metadata import events, repositories
from pierhead.metadata.database import Transaction
from pierhead.metadata.events import Note, monotonic
from pierhead.models import TagName
from tests.metadata.rows import ACTOR, APP, OTHER, digest

pytestmark = pytest.mark.anyio


async def test_an_event_tells_who_did_what_from_where(tx: Transaction) -> None:
    began = time.time_ns() // 1000
    repository = await repositories.ensure(tx, APP)
    made = await events.record(
        tx,
        "manifest.pushed",
        repository,
        replace(ACTOR, credential_id=7),
        tag=TagName("v1"),
        before=digest("old"),
        after=digest("new"),
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
        None,
        None,
        "done",
        7,
        None,
        None,
        None,
    )


async def test_events_are_numbered_in_their_order(tx: Transaction) -> None:
    repository = await repositories.ensure(tx, APP)
    numbers = [await events.record(tx, "blob.pushed", repository, ACTOR) for _ in range(3)]

    assert numbers == sorted(set(numbers))


async def test_what_is_about_no_repository_tells_what_it_is_about(tx: Transaction) -> None:
    details = {"before": {"role": "reader"}, "after": {"role": "writer"}}
    made = await events.record_change(
        tx, "grant.changed", "grant:12", ACTOR, project_id=3, details=details, reason="why"
    )

    row = await tx.fetch_one(
        "SELECT action, repository_id, project_id, subject, details, reason FROM events WHERE id = :id", id=made
    )
    assert row is not None
    assert row[:4] == ("grant.changed", None, 3, "grant:12")
    assert (json.loads(row[4]), row[5]) == (details, "why")


def test_details_are_short_and_hold_no_secrets() -> None:
    assert json.loads(events.told({"text": "x" * 5000}) or "") == {"too_long": 5011}
    with pytest.raises(ValueError, match="password does not belong"):
        events.told({"after": {"password": "hunter2"}})


async def test_what_was_noted_is_written_with_the_time_at_which_it_was(tx: Transaction) -> None:
    repository = await repositories.ensure(tx, APP)
    ago = monotonic() - 5_000_000
    pulled = Note("manifest.pulled", ACTOR, ago, repository=APP, tag=TagName("v1"), digest=digest("one"))
    now = time.time_ns() // 1000
    await events.record_notes(tx, [pulled, replace(pulled, repository=OTHER)])

    rows = await tx.fetch_all("SELECT at, action, repository_id, subject, tag, after FROM events ORDER BY id")
    assert [row[1:] for row in rows] == [
        ("manifest.pulled", repository, None, "v1", digest("one")),
        ("manifest.pulled", None, "repository:team/other", "v1", digest("one")),
    ]
    assert all(4_000_000 < now - row[0] < 6_000_000 for row in rows)
