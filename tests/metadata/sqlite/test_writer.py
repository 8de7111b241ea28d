import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import apsw
import pytest

from pierhead.errors import Busy, MetadataUnavailable
from pierhead.metadata.database import Transaction
from pierhead.metadata.sqlite import engine, writer
from pierhead.metadata.sqlite.database import SqliteDatabase
from pierhead.metadata.sqlite.writer import Commit
from tests.contracts.database import exists, names, put

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pierhead.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[SqliteDatabase]:
    async with SqliteDatabase(path) as database:
        yield database


@contextmanager
def somebody_writing(path: Path) -> Iterator[None]:
    """Another process that has its turn and stands still."""
    descriptor = os.open(path.parent / "write-now.lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


async def fill(tx: Transaction, start: int, count: int) -> None:
    rows = [{"name": f"{number} {'x' * 200}"} for number in range(start, start + count)]
    await tx.execute_many("INSERT INTO projects (name, created_at) VALUES (:name, 0)", rows)


async def test_who_waits_too_long_for_another_process_is_told_and_never_served_later(
    path: Path, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "WAITING_SECONDS", 0.2)
    with somebody_writing(path), pytest.raises(MetadataUnavailable, match="another process"):
        await database.write(partial(put, name="too late"))
    await database.write(partial(put, name="a"))

    assert await database.read(names) == ["a"]


async def test_more_than_a_bounded_number_may_not_wait(
    path: Path, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "WAITING_MAX", 5)
    with somebody_writing(path):
        waiting = [asyncio.ensure_future(database.write(partial(put, name=str(n)))) for n in range(5)]
        with pytest.raises(Busy):
            await database.write(partial(put, name="one too many"))
    await asyncio.gather(*waiting)

    assert len(await database.read(names)) == 5


async def test_who_left_before_the_turn_came_is_not_served(path: Path, database: SqliteDatabase) -> None:
    with somebody_writing(path):
        task = asyncio.ensure_future(database.write(partial(put, name="left")))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.sleep(0)
    await database.write(partial(put, name="stayed"))

    assert await database.read(names) == ["stayed"]


async def test_closing_waits_for_what_was_submitted(path: Path) -> None:
    async with SqliteDatabase(path) as database:
        writes = [asyncio.ensure_future(database.write(partial(put, name=str(n)))) for n in range(300)]
        await asyncio.sleep(0)
    await asyncio.gather(*writes)

    async with SqliteDatabase(path) as database:
        assert len(await database.read(names)) == 300


async def test_a_closed_database_takes_nothing_more(path: Path) -> None:
    async with SqliteDatabase(path) as database:
        pass

    with pytest.raises(MetadataUnavailable, match="closed"):
        await database.write(partial(put, name="a"))


async def test_an_observer_that_fails_costs_nobody_the_answer(path: Path) -> None:
    def fail(_: Commit) -> None:
        raise OSError("the numbers cannot be written")

    async with SqliteDatabase(path, observe=fail) as database:
        await database.write(partial(put, name="a"))
        await database.write(partial(put, name="b"))

        assert await database.read(names) == ["a", "b"]


async def test_the_log_stays_short_under_a_long_load(
    path: Path, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "LOG_MAX_BYTES", 20 * 1024 * 1024)
    longest = 0
    for number in range(300):
        await database.write(partial(fill, start=number * 500, count=500), durable=False)
        # Reads all the while, as a server's do.
        await database.read(partial(exists, name="no"))
        longest = max(longest, database.log_length())

    assert longest < 24 * 1024 * 1024


async def test_the_log_grows_with_a_lagging_reader_and_is_cut_once_that_is_done(
    path: Path, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "LOG_MAX_BYTES", 2 * 1024 * 1024)
    monkeypatch.setattr(writer, "LOG_PAUSE_SECONDS", 0.05)
    lagging = apsw.Connection(str(path))
    lagging.execute("BEGIN")
    lagging.execute("SELECT count(*) FROM projects").fetchall()
    began = time.monotonic()
    for number in range(60):
        await database.write(partial(fill, start=number * 500, count=500), durable=False)
    with_reader, seconds = database.log_length(), time.monotonic() - began
    lagging.execute("COMMIT")
    lagging.close()
    await asyncio.sleep(0.1)
    await database.write(partial(put, name="a"))

    assert with_reader > 4 * 1024 * 1024
    assert seconds < 20
    assert database.log_length() == 0
    assert len(await database.read(names)) == 30_001


async def test_a_log_that_cannot_be_cut_fails_no_commit(
    path: Path, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "LOG_MAX_BYTES", 0)

    def fail(connection: apsw.Connection, size: int) -> None:
        raise apsw.FullError

    monkeypatch.setattr(database._writer._bound, "_restart", fail)
    await database.write(partial(put, name="a"))

    assert await database.read(names) == ["a"]


async def test_idle_polling_writes_nothing(path: Path, database: SqliteDatabase) -> None:
    await database.write(partial(put, name="a"))
    files = [path, path.with_name("pierhead.db-wal")]
    before = [(file.stat().st_mtime_ns, file.stat().st_size) for file in files]
    for number in range(1000):
        assert await database.recall(number % 10, names) == ["a"]
        assert await database.read(names) == ["a"]
        await database.ping()

    assert [(file.stat().st_mtime_ns, file.stat().st_size) for file in files] == before


async def test_a_write_that_changes_nothing_commits_nothing(path: Path, database: SqliteDatabase) -> None:
    await database.write(partial(put, name="a"))
    log = path.with_name("pierhead.db-wal")
    before = (log.stat().st_mtime_ns, log.stat().st_size)
    await database.write(partial(exists, name="a"))

    assert (log.stat().st_mtime_ns, log.stat().st_size) == before


async def test_another_connection_may_hold_the_database_for_a_moment(path: Path, database: SqliteDatabase) -> None:
    other = engine.connect(path)
    other.execute("BEGIN IMMEDIATE")
    write = asyncio.ensure_future(database.write(partial(put, name="a")))
    await asyncio.sleep(0.3)
    assert not write.done()
    other.execute("COMMIT")
    await write
    other.close()
