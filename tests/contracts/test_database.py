"""What every database keeps: see `pierhead.metadata.database`."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pierhead.metadata import locks
from pierhead.metadata.database import Commit, Database, Row, Transaction, Value
from pierhead.metadata.locks import Lock
from pierhead.models import RepositoryName, TagName
from tests.contracts.database import DATABASES, Place, exists, names, put

pytestmark = pytest.mark.anyio

APP = RepositoryName("team/app")


class Refused(Exception):
    pass


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=DATABASES)
def place(request: pytest.FixtureRequest) -> Place:
    where: str = request.getfixturevalue(f"at_{request.param}")
    return Place(request.param, where)


@pytest.fixture
def commits() -> list[Commit]:
    return []


@pytest.fixture
async def database(place: Place, commits: list[Commit]) -> AsyncIterator[Database]:
    async with place.open(commits.append) as database:
        yield database


async def put_and_refuse(tx: Transaction, name: str) -> None:
    await put(tx, name)
    raise Refused(name)


@pytest.mark.parametrize("durable", [True, False])
async def test_what_was_written_is_read_and_stays(place: Place, durable: bool) -> None:
    async with place.open() as database:
        await database.write(lambda tx: put(tx, "a"), durable=durable)
        assert await database.read(names) == ["a"]

    async with place.open() as database:
        assert await database.read(names) == ["a"]


async def test_a_write_returns_what_its_operation_does(database: Database) -> None:
    async def count(tx: Transaction) -> int:
        return await tx.execute("INSERT INTO projects (name, created_at) VALUES ('a', 0), ('b', 0)")

    assert await database.write(count) == 2


async def test_an_exception_rolls_its_operation_back(database: Database) -> None:
    with pytest.raises(Refused):
        await database.write(lambda tx: put_and_refuse(tx, "a"))

    assert await database.read(names) == []


async def test_an_exception_takes_no_other_operation_with_it(database: Database) -> None:
    wanted = [f"{number:03}" for number in range(100)]
    writes = [
        database.write(partial(put if number % 3 else put_and_refuse, name=name)) for number, name in enumerate(wanted)
    ]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)

    assert [isinstance(outcome, Refused) for outcome in outcomes] == [number % 3 == 0 for number in range(100)]
    assert await database.read(names) == [name for number, name in enumerate(wanted) if number % 3]


async def test_a_constraint_that_is_broken_fails_its_operation_alone(database: Database) -> None:
    outcomes = await asyncio.gather(
        *(database.write(lambda tx: put(tx, "a")) for _ in range(5)), return_exceptions=True
    )

    assert sum(outcome is None for outcome in outcomes) == 1
    assert await database.read(names) == ["a"]


async def test_recall_knows_what_this_process_wrote(database: Database) -> None:
    for number in range(50):
        name = str(number)
        assert await database.recall("k", names) == sorted(map(str, range(number)))
        assert not await database.recall(name, partial(exists, name=name))
        await database.write(partial(put, name=name))
        assert await database.recall(name, partial(exists, name=name))


async def test_recall_knows_what_another_process_wrote(place: Place, database: Database) -> None:
    for name in ("a", "b", "c"):
        assert not await database.recall(name, partial(exists, name=name))
        place.elsewhere("put", name)
        assert await database.recall(name, partial(exists, name=name))


async def test_recall_knows_what_another_connection_wrote(place: Place, database: Database) -> None:
    async with place.open() as other:
        for number in range(200):
            name = str(number)
            assert not await database.recall(name, partial(exists, name=name))
            await other.write(partial(put, name=name), durable=False)
            assert await database.recall(name, partial(exists, name=name))


async def test_an_exception_of_a_recall_is_not_remembered(database: Database) -> None:
    async def refuse(tx: Transaction) -> list[str]:
        raise Refused

    with pytest.raises(Refused):
        await database.recall("k", refuse)

    assert await database.recall("k", names) == []


async def test_a_read_that_fails_leaves_the_next_one_a_fresh_state(place: Place, database: Database) -> None:
    async def refuse(tx: Transaction) -> None:
        await names(tx)
        raise Refused

    with pytest.raises(Refused):
        await database.read(refuse)
    place.elsewhere("put", "a")

    assert await database.read(names) == ["a"]


async def test_a_read_of_many_statements_sees_one_state(place: Place, database: Database) -> None:
    written = False

    async def read_twice(tx: Transaction) -> tuple[list[str], list[str]]:
        nonlocal written
        first = await names(tx)
        second = await names(tx)
        if not written:
            written = True
            place.elsewhere("put", "a")
        return first, [*second, *await names(tx)]

    first, rest = await database.read(read_twice)

    assert first * 2 == rest
    assert await database.read(names) == ["a"]


async def count_up(tx: Transaction, wanted: list[Lock]) -> None:
    """Without a lock two at once would read the same number."""
    await tx.lock(*wanted)
    await put(tx, str(len(await names(tx))))


async def test_operations_with_the_same_lock_run_one_after_another(place: Place, database: Database) -> None:
    wanted = [locks.tag(APP, TagName("a")), locks.repository(APP, shared=True)]
    async with place.open() as other:
        writes = [one.write(partial(count_up, wanted=wanted)) for one in (database, other) for _ in range(40)]
        await asyncio.gather(*writes)

    assert len(await database.read(names)) == 80


async def test_an_operation_that_waits_for_something_else_is_refused(database: Database) -> None:
    async def dawdle(tx: Transaction) -> None:
        await put(tx, "dawdled")
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="waited for something else"):
        await database.write(dawdle)
    with pytest.raises(RuntimeError, match="waited for something else"):
        await database.read(lambda tx: asyncio.sleep(0))

    await database.write(partial(put, name="a"))
    assert await database.read(names) == ["a"]


async def test_a_read_cannot_write(database: Database) -> None:
    with pytest.raises(Exception, match=r"readonly|read-only"):
        await database.read(lambda tx: put(tx, "a"))

    assert await database.read(names) == []


async def test_an_asker_who_leaves_breaks_nothing(database: Database) -> None:
    tasks = [asyncio.ensure_future(database.write(partial(put, name=f"{n:02}"))) for n in range(30)]
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks[1::2])
    await database.write(partial(put, name="last"))

    written = set(await database.read(names))
    assert {f"{n:02}" for n in range(1, 30, 2)} | {"last"} <= written


async def test_many_who_leave_at_any_moment_break_nothing(database: Database) -> None:
    chance = random.Random(1)

    async def impatient(name: str) -> None:
        async with asyncio.timeout(chance.random() * 0.01):
            await database.write(partial(put, name=name))

    await asyncio.gather(*(impatient(str(n)) for n in range(300)), return_exceptions=True)

    await database.write(partial(put, name="after"))
    assert await database.read(partial(exists, name="after"))


# No column takes a NUL: PostgreSQL has none in its texts.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
VALUES = st.none() | st.integers(-(2**63), 2**63 - 1) | TEXTS | st.binary()


CASTS = {int: "CAST(:value AS BIGINT)", bytes: "coalesce(:value, (SELECT content FROM manifest_contents))"}


@given(values=st.lists(VALUES, min_size=1, max_size=8))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_values_come_back_as_they_were(place: Place, values: list[Value]) -> None:
    async def echo(tx: Transaction, value: Value) -> Row | None:
        return await tx.fetch_one(f"SELECT {CASTS.get(type(value), ':value')}", value=value)

    async def echoes() -> list[Row | None]:
        async with place.open() as database:
            return [await database.read(partial(echo, value=value)) for value in values]

    assert asyncio.run(echoes()) == [(value,) for value in values]


async def test_large_values_come_back_whole(database: Database) -> None:
    content = random.Random(2).randbytes(8 * 1024 * 1024)

    async def keep(tx: Transaction) -> None:
        await tx.execute("INSERT INTO manifest_contents (digest, content) VALUES ('d', :content)", content=content)

    async def kept(tx: Transaction) -> object:
        row = await tx.fetch_one("SELECT content FROM manifest_contents WHERE digest = 'd'")
        return row and row[0]

    await database.write(keep)
    assert await database.read(kept) == content


async def test_rows_may_not_refer_to_what_is_not_there(database: Database) -> None:
    async def orphan(tx: Transaction) -> None:
        await tx.execute("INSERT INTO repositories (project_id, name, created_at) VALUES (99, 'a', 0)")

    with pytest.raises(Exception, match=r"(?i)foreign key"):
        await database.write(orphan)


async def test_names_are_compared_byte_by_byte(database: Database) -> None:
    given_names = ["a", "B", "b", "A", "a-b", "a.b", "a_b", "a/b", "aa", "0", "é", "z", "\U0001f980", "\uffee"]
    for name in given_names:
        await database.write(partial(put, name=name), durable=False)

    assert await database.read(names) == sorted(given_names, key=str.encode)
    assert not await database.read(partial(exists, name="É"))


async def test_the_last_page_costs_what_the_first_does(database: Database) -> None:
    async def fill(tx: Transaction) -> None:
        rows = [{"name": f"{number:06}"} for number in range(100_000)]
        await tx.execute_many("INSERT INTO projects (name, created_at) VALUES (:name, 0)", rows)

    async def page(tx: Transaction, after: str) -> int:
        sql = "SELECT name FROM projects WHERE name > :after ORDER BY name LIMIT 100"
        return len(await tx.fetch_all(sql, after=after))

    async def seconds(after: str) -> float:
        began = time.perf_counter()
        assert await database.read(partial(page, after=after)) == 100
        return time.perf_counter() - began

    await database.write(fill)
    first = min([await seconds("") for _ in range(50)])
    last = min([await seconds("099899") for _ in range(50)])

    assert last < 2 * first


async def test_ping_names_the_engine_and_its_version(database: Database) -> None:
    assert any(character.isdigit() for character in (await database.ping())["engine"])
