import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from pierhead.errors import Busy, MetadataUnavailable
from pierhead.metadata.database import Commit, Transaction
from pierhead.metadata.sqlite import engine, writer
from pierhead.metadata.sqlite.database import SqliteDatabase
from tests.contracts.database import exists, names, put

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pierhead.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[SqliteDatabase]:
    async with SqliteDatabase(path) as database:
        yield database


@pytest.fixture
def commits(database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> list[Commit]:
    commits: list[Commit] = []
    monkeypatch.setattr(database._writer, "_observe", commits.append)
    return commits


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


async def test_an_operation_sees_those_before_it_in_its_group(database: SqliteDatabase) -> None:
    async def count(tx: Transaction) -> int:
        await put(tx, str(await tx.fetch_all("SELECT count(*) FROM projects")))
        return len(await names(tx))

    counts = await asyncio.gather(*(database.write(count) for _ in range(50)))

    assert sorted(counts) == list(range(1, 51))


async def test_concurrent_writes_share_commits(database: SqliteDatabase, commits: list[Commit]) -> None:
    async def write_many(client: int) -> None:
        for number in range(25):
            await database.write(partial(put, name=f"{client} {number}"))

    await asyncio.gather(*(write_many(client) for client in range(16)))

    assert sum(commit.operations for commit in commits) == 400
    assert len(commits) < 200


async def test_a_group_is_durable_where_one_of_it_is(database: SqliteDatabase, commits: list[Commit]) -> None:
    await asyncio.gather(*(database.write(partial(put, name=str(n)), durable=n == 7) for n in range(20)))

    assert sum(commit.operations for commit in commits) == 20
    assert sum(commit.durable for commit in commits) == 1


async def test_recall_asks_once_while_nothing_is_written(database: SqliteDatabase) -> None:
    asked = 0

    async def count(tx: Transaction) -> int:
        nonlocal asked
        asked += 1
        return len(await names(tx))

    assert [await database.recall("count", count) for _ in range(10)] == [0] * 10
    assert asked == 1


async def test_nothing_is_remembered_too(database: SqliteDatabase) -> None:
    asked = 0

    async def nothing(tx: Transaction) -> None:
        nonlocal asked
        asked += 1

    for _ in range(3):
        await database.recall("nothing", nothing)
    assert asked == 1
