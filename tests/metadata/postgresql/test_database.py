"""What is PostgreSQL's own: round trips, the pool, what is tried again, and a server that goes away."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import pytest
from pydantic import SecretStr

from pierhead.errors import Busy, MetadataUnavailable
from pierhead.metadata import locks, uploads
from pierhead.metadata.database import Transaction
from pierhead.metadata.locks import Lock
from pierhead.metadata.postgresql.database import PostgresqlDatabase
from pierhead.models import Digest, RepositoryName, TagName, Upload
from pierhead.settings import DatabaseSettings
from tests.contracts.database import exists, names, put
from tests.servers.postgresql import Cluster, sql
from tests.servers.toxiproxy import Link
from tests.servers.toxiproxy import Server as Toxiproxy

pytestmark = pytest.mark.anyio

APP = RepositoryName("team/app")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def opened(url: str, **settings: Any) -> AsyncIterator[PostgresqlDatabase]:
    async with PostgresqlDatabase(DatabaseSettings(url=SecretStr(url), **settings)) as database:
        yield database


@pytest.fixture
async def database(at_postgresql: str) -> AsyncIterator[PostgresqlDatabase]:
    async with opened(at_postgresql) as database:
        yield database


async def sleep(tx: Transaction, milliseconds: int) -> None:
    await tx.fetch_one("SELECT 1 FROM pg_sleep(CAST(:ms AS BIGINT) / 1000.0)", ms=milliseconds)


# Round trips


@pytest.fixture
async def said(database: PostgresqlDatabase) -> list[str]:
    """Everything that is sent on the one connection."""
    queries: list[str] = []
    (connection,) = database.pool._idle
    connection.add_query_logger(lambda record: queries.append(" ".join(record.query.split())))
    return queries


async def test_a_single_question_is_one_round_trip(database: PostgresqlDatabase, said: list[str]) -> None:
    await database.read(names)
    await asyncio.sleep(0)

    assert said == ["SELECT name FROM projects ORDER BY name"]


async def test_locks_come_with_the_beginning(database: PostgresqlDatabase, said: list[str]) -> None:
    async def write(tx: Transaction) -> None:
        await tx.lock(locks.blob(Digest("b")), locks.sweep())
        await put(tx, "a")

    await database.write(write)
    await asyncio.sleep(0)

    assert len(said) == 3
    assert said[0].startswith("BEGIN")
    assert said[0].count("pg_advisory_xact_lock") == 2
    assert said[2] == "COMMIT"


async def test_a_write_that_asks_nothing_sends_nothing(database: PostgresqlDatabase, said: list[str]) -> None:
    async def nothing(tx: Transaction) -> None:
        pass

    await database.write(nothing)

    assert said == []


async def test_only_a_pooler_makes_transactions_of_reads(at_postgresql: str, at_pgbouncer: str) -> None:
    for url, pooled in ((at_postgresql, False), (at_pgbouncer, True)):
        async with opened(url) as database:
            await database.read(names)
            assert database._dialler.pooled is pooled


# What an operation may not do


async def test_what_went_on_after_a_failure_is_not_taken_for_committed(database: PostgresqlDatabase) -> None:
    async def swallow(tx: Transaction) -> None:
        await put(tx, "a")
        with suppress(Exception):  # what no operation should do
            await put(tx, "a")

    with pytest.raises(RuntimeError, match="went on after a statement that had failed"):
        await database.write(swallow)
    assert await database.read(names) == []


async def test_locks_are_taken_at_once(database: PostgresqlDatabase) -> None:
    async def late(tx: Transaction) -> None:
        await names(tx)
        await tx.lock(locks.sweep())

    with pytest.raises(RuntimeError, match="all at once"):
        await database.write(late)


# The pool


async def test_no_more_connections_are_open_than_were_allowed(at_postgresql: str) -> None:
    async with opened(at_postgresql, pool_size=3) as database:
        await asyncio.gather(*(database.read(partial(exists, name=str(n))) for n in range(200)))
        await asyncio.gather(*(database.write(partial(put, name=str(n))) for n in range(200)))

        told = sql(at_postgresql, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pierhead'")
        assert int(told) <= 3
        assert (database.pool.open, database.pool.used, database.pool.waiting) == (3, 0, 0)


async def test_more_than_a_bounded_number_may_not_wait(at_postgresql: str) -> None:
    async with opened(at_postgresql, pool_size=1, wait_max=5) as database:
        outcomes = await asyncio.gather(
            *(database.read(partial(sleep, milliseconds=20)) for _ in range(10)), return_exceptions=True
        )

    assert [type(outcome) for outcome in outcomes] == [type(None)] * 6 + [Busy] * 4


async def test_nobody_waits_for_longer_than_was_allowed(at_postgresql: str) -> None:
    async with opened(at_postgresql, pool_size=1, wait_seconds=0.1) as database:
        slow = asyncio.create_task(database.read(partial(sleep, milliseconds=500)))
        await asyncio.sleep(0.05)
        with pytest.raises(Busy, match="in time"):
            await database.read(names)
        await slow

        assert await database.read(names) == []


async def test_those_who_leave_take_no_connection_with_them(at_postgresql: str) -> None:
    async with opened(at_postgresql, pool_size=2) as database:
        for milliseconds in (200, 0):
            tasks = [asyncio.ensure_future(database.read(partial(sleep, milliseconds=milliseconds))) for _ in range(6)]
            await asyncio.sleep(0.02)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        assert await database.read(names) == []
        await asyncio.sleep(0.3)
        assert (database.pool.open, database.pool.used, database.pool.waiting) == (2, 0, 0)


async def test_what_was_asked_for_is_done_before_the_end(at_postgresql: str) -> None:
    async with opened(at_postgresql) as database:
        task = asyncio.create_task(database.write(partial(put, name="a")))
        await asyncio.sleep(0)
    await task

    async with opened(at_postgresql) as database:
        assert await database.read(names) == ["a"]


# What is tried again


async def test_a_connection_that_died_while_idle_is_replaced(at_postgresql: str, database: PostgresqlDatabase) -> None:
    for number in range(3):
        sql(at_postgresql, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pierhead'")
        await database.write(partial(put, name=str(number)))
        sql(at_postgresql, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pierhead'")
        assert len(await database.read(names)) == number + 1


async def test_a_deadlock_is_tried_again(database: PostgresqlDatabase) -> None:
    await database.write(partial(put, name="a"))
    await database.write(partial(put, name="b"))
    runs = 0

    async def touch(tx: Transaction, first: str, second: str) -> None:
        nonlocal runs
        runs += 1
        for name in (first, second):
            await tx.execute("UPDATE projects SET created_at = created_at + 1 WHERE name = :name", name=name)
            await sleep(tx, 100)

    await asyncio.gather(
        database.write(partial(touch, first="a", second="b")), database.write(partial(touch, first="b", second="a"))
    )

    assert runs > 2
    assert await database.read(lambda tx: tx.fetch_all("SELECT created_at FROM projects")) == [(2,), (2,)]


async def test_a_statement_that_takes_too_long_is_refused_and_its_connection_goes_on(at_postgresql: str) -> None:
    async with opened(at_postgresql, pool_size=1, statement_seconds=0.2) as database:
        with pytest.raises(MetadataUnavailable, match="statement timeout"):
            await database.read(partial(sleep, milliseconds=5000))

        assert await database.read(names) == []


async def test_who_waits_too_long_for_a_lock_is_told(at_postgresql: str) -> None:
    async def hold(tx: Transaction, milliseconds: int) -> None:
        await tx.lock(locks.sweep())
        await sleep(tx, milliseconds)

    async with opened(at_postgresql, statement_seconds=0.5) as database, opened(at_postgresql) as other:
        holding = asyncio.create_task(other.write(partial(hold, milliseconds=1500)))
        await asyncio.sleep(0.2)
        with pytest.raises(Busy, match="lock timeout"):
            await database.write(partial(hold, milliseconds=0))
        await holding


async def test_different_tags_of_a_repository_move_at_once_and_deletes_wait_for_them(
    database: PostgresqlDatabase,
) -> None:
    order: list[str] = []

    async def hold(tx: Transaction, name: str, *wanted: Lock) -> None:
        await tx.lock(*wanted)
        order.append(f"{name} begins")
        await sleep(tx, 300)
        order.append(f"{name} ends")

    shared, app = locks.repository(APP, shared=True), locks.repository(APP)
    first = asyncio.create_task(database.write(lambda tx: hold(tx, "a", shared, locks.tag(APP, TagName("a")))))
    second = asyncio.create_task(database.write(lambda tx: hold(tx, "b", shared, locks.tag(APP, TagName("b")))))
    await asyncio.sleep(0.1)
    await asyncio.gather(first, second, database.write(lambda tx: hold(tx, "delete", app)))

    assert {*order[:2]} == {"a begins", "b begins"}
    assert order[4:] == ["delete begins", "delete ends"]


async def test_a_session_that_somebody_comes_back_to_just_now_is_not_swept(database: PostgresqlDatabase) -> None:
    idle = Upload(id="u1", repository=APP, algorithm="sha256", offset=0, epoch=0, writer="w")

    async def come_back(tx: Transaction) -> None:
        assert await uploads.claim(tx, idle, silence=0)
        await sleep(tx, 400)

    await database.write(lambda tx: uploads.add(tx, idle, ends=True))
    await database.write(lambda tx: tx.execute("UPDATE uploads SET touched_at = 0"))
    coming = asyncio.create_task(database.write(come_back))
    await asyncio.sleep(0.2)

    assert await database.write(lambda tx: uploads.retire(tx, uploads.Kept(idle=9, finished=9), limit=9)) == []
    await coming


# A server that goes away


@pytest.fixture
def link(toxiproxy: Toxiproxy, postgresql: Cluster) -> Iterator[Link]:
    with toxiproxy.link(f"127.0.0.1:{postgresql.port}") as link:
        yield link


def through(link: Link, url: str) -> str:
    return f"postgresql://postgres@{link.host}/{url.rpartition('/')[2]}"


async def test_a_server_that_is_away_is_told_at_once_and_found_again(at_postgresql: str, link: Link) -> None:
    async with opened(through(link, at_postgresql)) as database:
        await database.write(partial(put, name="a"))
        await asyncio.to_thread(link.cut)
        began = time.monotonic()
        for _ in range(200):
            with pytest.raises(MetadataUnavailable):
                await database.read(names)
        assert time.monotonic() - began < 1.5
        await asyncio.to_thread(link.heal)

        assert await eventually(database) < 6


async def test_a_silent_server_is_waited_for_by_few_and_found_again(at_postgresql: str, link: Link) -> None:
    settings = {"statement_seconds": 0.5, "connect_seconds": 0.5, "wait_seconds": 0.5, "pool_size": 2}
    async with opened(through(link, at_postgresql), **settings) as database:
        await database.write(partial(put, name="a"))
        await asyncio.to_thread(link.timeout)
        began = time.monotonic()
        outcomes = await asyncio.gather(*(database.read(names) for _ in range(50)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} <= {Busy, MetadataUnavailable}
        assert time.monotonic() - began < 6
        began = time.monotonic()
        for _ in range(100):
            with pytest.raises(MetadataUnavailable):
                await database.read(names)
        assert time.monotonic() - began < 4
        await asyncio.to_thread(link.heal)

        assert await eventually(database) < 8


async def eventually(database: PostgresqlDatabase) -> float:
    """Seconds until the database answers again."""
    began = time.monotonic()
    while time.monotonic() - began < 30:
        try:
            assert await database.read(names) == ["a"]
        except (Busy, MetadataUnavailable):
            await asyncio.sleep(0.05)
        else:
            break
    return time.monotonic() - began


async def test_a_worker_starts_while_the_server_is_away(at_postgresql: str, link: Link) -> None:
    await asyncio.to_thread(link.cut)
    async with opened(through(link, at_postgresql)) as database:
        with pytest.raises(MetadataUnavailable):
            await database.ping()
        await asyncio.to_thread(link.heal)
        await asyncio.sleep(1)

        assert (await database.ping())["engine"].startswith("PostgreSQL 1")
