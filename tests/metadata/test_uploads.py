from dataclasses import replace

import pytest

from pierhead.metadata import uploads
from pierhead.metadata.database import Transaction
from pierhead.models import Upload
from tests.metadata.rows import APP, digest

pytestmark = pytest.mark.anyio

HOUR = 3_600_000_000
NEW = Upload(id="u1", repository=APP, algorithm="sha256", offset=0, epoch=0)


async def added(tx: Transaction, upload: Upload = NEW) -> Upload:
    await uploads.add(tx, upload)
    return await found(tx, upload.id)


async def found(tx: Transaction, upload_id: str) -> Upload:
    upload = await uploads.find(tx, upload_id)
    assert upload is not None
    return upload


async def age(tx: Transaction, upload: Upload, hours: float) -> None:
    sql = "UPDATE uploads SET touched_at = clock_us() - :age WHERE id = :id"
    await tx.execute(sql, age=int(hours * HOUR), id=upload.id)


async def test_a_session_stands_where_it_was_advanced_to(tx: Transaction) -> None:
    upload = await added(tx)
    further = replace(upload, offset=7, state=b"\x00state", boot="boot")

    assert await uploads.advance(tx, further)
    assert replace(await found(tx, "u1"), touched_at=0) == replace(further, touched_at=0)


async def test_a_finished_session_does_not_move(tx: Transaction) -> None:
    upload = await added(tx)
    assert await uploads.finish(tx, upload, digest("a"))

    assert not await uploads.advance(tx, upload)
    assert not await uploads.finish(tx, upload, digest("b"))
    assert not await uploads.next_epoch(tx, await found(tx, "u1"))
    assert (await found(tx, "u1")).digest == digest("a")


async def test_a_writer_that_was_replaced_changes_nothing_more(tx: Transaction) -> None:
    upload = await added(tx)
    assert await uploads.next_epoch(tx, upload)

    assert not await uploads.advance(tx, replace(upload, offset=9))
    assert not await uploads.finish(tx, upload, digest("a"))
    assert not await uploads.cancel(tx, upload)
    assert replace(await found(tx, "u1"), touched_at=0) == replace(upload, epoch=1, touched_at=0)


async def test_only_one_takes_over(tx: Transaction) -> None:
    upload = await added(tx)

    assert [await uploads.next_epoch(tx, upload), await uploads.next_epoch(tx, upload)] == [True, False]


async def test_a_session_that_moved_meanwhile_is_not_taken_over(tx: Transaction) -> None:
    upload = await added(tx)
    await age(tx, upload, 1)
    seen = await found(tx, "u1")
    await uploads.advance(tx, replace(seen, offset=5))

    assert not await uploads.next_epoch(tx, seen)


async def test_a_writer_that_only_shows_life_is_not_taken_over(tx: Transaction) -> None:
    upload = await added(tx)
    await age(tx, upload, 1)
    seen = await found(tx, "u1")
    await uploads.advance(tx, seen)

    assert not await uploads.next_epoch(tx, seen)


@pytest.mark.parametrize("saved", [True, False])
async def test_a_cancelled_session_stays_cancelled(tx: Transaction, saved: bool) -> None:
    upload = await added(tx) if saved else replace(NEW, saved=False)

    assert await uploads.cancel(tx, upload)
    assert (await found(tx, "u1")).cancelled
    assert not await uploads.cancel(tx, upload)
    assert not await uploads.advance(tx, replace(upload, offset=3))
    assert not await uploads.finish(tx, upload, digest("a"))
    assert not await uploads.next_epoch(tx, upload)
    assert (await found(tx, "u1")).cancelled


async def test_a_session_gets_its_row_with_its_first_bytes_or_when_it_is_finished(tx: Transaction) -> None:
    assert await uploads.advance(tx, replace(NEW, offset=3, saved=False))
    assert await uploads.finish(tx, replace(NEW, id="u2", saved=False), digest("a"))

    assert (await found(tx, "u1")).offset == 3
    assert (await found(tx, "u2")).digest == digest("a")


async def test_a_first_row_does_not_replace_one_that_is_finished_or_taken_over(tx: Transaction) -> None:
    late = replace(NEW, offset=3, saved=False)
    await uploads.next_epoch(tx, await added(tx))
    await uploads.finish(tx, await added(tx, replace(NEW, id="u2")), digest("a"))

    assert not await uploads.advance(tx, late)
    assert not await uploads.finish(tx, replace(late, id="u2"), digest("b"))
    assert (await found(tx, "u2")).digest == digest("a")


async def test_a_retired_session_is_forgotten(tx: Transaction) -> None:
    for name in ("u1", "u2", "u3"):
        await age(tx, await added(tx, replace(NEW, id=name)), 5)
    await uploads.cancel(tx, await found(tx, "u3"))
    await uploads.finish(tx, await found(tx, "u2"), digest("a"))
    await age(tx, await found(tx, "u2"), 5)
    retired = await uploads.retire(tx, uploads.Kept(idle=HOUR, finished=HOUR), limit=9)
    assert len(retired) == 3

    for upload in retired:
        await uploads.forget(tx, upload)
    assert [await uploads.find(tx, name) for name in ("u1", "u2", "u3")] == [None] * 3


async def test_an_ended_session_tells_where_its_bytes_were(tx: Transaction) -> None:
    for name in ("cancelled", "left"):
        await uploads.next_epoch(tx, await added(tx, replace(NEW, id=name)))
    await uploads.cancel(tx, await found(tx, "cancelled"))
    for name in ("cancelled", "left"):
        await age(tx, await found(tx, name), 5)
    kept = uploads.Kept(idle=HOUR, finished=HOUR)

    assert {upload.id: upload.epoch for upload in await uploads.retire(tx, kept, limit=9)} == {
        "cancelled": 1,
        "left": 1,
    }
    assert {upload.epoch for upload in await uploads.retire(tx, kept, limit=9)} == {1}  # interrupted, and begun again


async def test_sessions_expire_by_their_kind_oldest_first(tx: Transaction) -> None:
    for name, hours, done in [("a", 5, False), ("b", 1, False), ("c", 3, True), ("d", 1, True), ("e", 30, False)]:
        upload = await added(tx, replace(NEW, id=name))
        if done:
            await uploads.finish(tx, upload, digest(name))
        await age(tx, upload, hours)
    kept = uploads.Kept(idle=4 * HOUR, finished=2 * HOUR)

    assert await uploads.any_expired(tx, kept)
    oldest = await uploads.retire(tx, kept, limit=1)
    assert [upload.id for upload in oldest] == ["e"]
    retired = await uploads.retire(tx, kept, limit=9)
    assert sorted(upload.id for upload in retired) == ["a", "c", "e"]


async def test_a_retired_session_is_nobodys_and_stays_expired(tx: Transaction) -> None:
    upload = await added(tx)
    await age(tx, upload, 5)
    old = await found(tx, "u1")
    (retired,) = await uploads.retire(tx, uploads.Kept(idle=HOUR, finished=99 * HOUR), limit=9)

    assert retired.epoch == 0
    assert (await found(tx, "u1")).cancelled
    assert not await uploads.advance(tx, old)
    assert await uploads.any_expired(tx, uploads.Kept(idle=HOUR, finished=99 * HOUR))


async def test_looking_for_expired_sessions_does_not_read_those_that_are_alive(sqlite_tx: Transaction) -> None:
    plan = await sqlite_tx.fetch_all(
        f"EXPLAIN QUERY PLAN SELECT 1 FROM uploads WHERE {uploads._EXPIRED} LIMIT 1",
        **uploads.Kept(idle=2, finished=1).parameters(),
    )

    assert "uploads_by_touch" in plan[0][3]
    assert "SEARCH" in plan[0][3]
