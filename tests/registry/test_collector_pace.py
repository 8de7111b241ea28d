"""How much a collection looks at: never a whole table, and leased rows once in a run, however many they are."""

import re
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pierhead.blobs.files import FileStore
from pierhead.metadata.database import Database, Operation, Row, Transaction, Value
from pierhead.metadata.locks import Lock
from pierhead.registry.collector import Collector
from pierhead.settings import CollectionSettings, StorageSettings
from tests.contracts.database import Place

pytestmark = pytest.mark.anyio
T = TypeVar("T")

ROWS = {"sqlite": 4000, "postgresql": 50_000}  # PostgreSQL reads a small table as a whole, and is right
LARGE_TABLES = "blobs|blob_contents|repository_blobs|unreferenced_blobs|manifests|manifest_references|manifest_contents"
_SCANS = re.compile(
    rf"^(SCAN ({LARGE_TABLES}|held|noted)\b(?!.* USING)|.*Seq Scan on ({LARGE_TABLES})\b)", re.MULTILINE
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Explaining:
    """A transaction that asks how each statement is done before it does it."""

    def __init__(self, tx: Transaction, kind: str, plans: dict[str, str]) -> None:
        self._tx = tx
        self._explain = "EXPLAIN QUERY PLAN " if kind == "sqlite" else "EXPLAIN "
        self._plans = plans

    async def lock(self, *locks: Lock) -> None:
        await self._tx.lock(*locks)

    async def fetch_all(self, sql: str, **parameters: Value) -> list[Row]:
        await self._ask(sql, parameters)
        return await self._tx.fetch_all(sql, **parameters)

    async def fetch_one(self, sql: str, **parameters: Value) -> Row | None:
        await self._ask(sql, parameters)
        return await self._tx.fetch_one(sql, **parameters)

    async def execute(self, sql: str, **parameters: Value) -> int:
        await self._ask(sql, parameters)
        return await self._tx.execute(sql, **parameters)

    async def execute_many(self, sql: str, rows: Iterable[Mapping[str, Value]]) -> None:
        given = list(rows)
        if given:
            await self._ask(sql, given[0])
        await self._tx.execute_many(sql, given)

    async def _ask(self, sql: str, parameters: Mapping[str, Value]) -> None:
        if sql not in self._plans:
            rows = await self._tx.fetch_all(self._explain + sql, **parameters)
            self._plans[sql] = "\n".join(str(row[-1]) for row in rows)


class Explained:
    """A database all of whose statements are explained."""

    def __init__(self, database: Database, kind: str) -> None:
        self._database = database
        self._kind = kind
        self.plans: dict[str, str] = {}

    async def read(self, operation: Operation[T]) -> T:
        return await self._database.read(lambda tx: operation(Explaining(tx, self._kind, self.plans)))

    async def recall(self, key: Any, operation: Operation[T]) -> T:
        return await self.read(operation)

    async def write(self, operation: Operation[T], *, durable: bool = True) -> T:
        return await self._database.write(lambda tx: operation(Explaining(tx, self._kind, self.plans)), durable=durable)

    async def ping(self) -> Mapping[str, str]:
        return await self._database.ping()


_FILL = """
INSERT INTO projects (name, created_at) VALUES ('team', 0);
INSERT INTO repositories (project_id, name, created_at) SELECT id, 'team/app', 0 FROM projects;
INSERT INTO repositories (project_id, name, created_at) SELECT id, 'team/other', 0 FROM projects;
INSERT INTO manifest_contents (digest, content)
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < CAST(:rows AS BIGINT))
SELECT 'sha256:' || substr(CAST(100000 + n AS TEXT) || CAST(:zeros AS TEXT), 1, 64), :nothing FROM numbers;
INSERT INTO blobs (digest, size, key, created_at) SELECT digest, 7, digest, 0 FROM manifest_contents;
INSERT INTO repository_blobs (repository_id, digest, created_at)
SELECT repositories.id, digest, 0 FROM repositories, blobs WHERE name = 'team/app';
INSERT INTO manifests (repository_id, digest, media_type, size, pushed_at)
SELECT repositories.id, digest, 'm', 1, 0 FROM repositories, manifest_contents WHERE name = 'team/other';
INSERT INTO manifest_references (manifest_id, digest, kind)
SELECT id, digest, 'layer' FROM manifests WHERE id % 2 = 0
"""  # half of the blobs are needed, by another repository


async def _fill(tx: Transaction, rows: int) -> None:
    given: dict[str, Value] = {"rows": rows, "zeros": "0" * 64, "nothing": b""}
    for statement in _FILL.split(";\n"):
        await tx.execute(statement, **{name: value for name, value in given.items() if f":{name}" in statement})


async def _note(tx: Transaction, leased_until: int) -> None:
    await tx.execute("DELETE FROM unreferenced_blobs")
    await tx.execute(
        "INSERT INTO unreferenced_blobs (repository_id, digest, since, leased_until)"
        " SELECT repository_id, digest, 1, CAST(:until AS BIGINT) FROM repository_blobs",
        until=leased_until,
    )


@pytest.fixture
async def database(place: Place) -> AsyncIterator[Database]:
    async with place.open() as database:
        await database.write(lambda tx: _fill(tx, ROWS[place.kind]))
        await database.write(lambda tx: _note(tx, 0))
        if place.kind == "postgresql":  # else it plans for empty tables
            for table in (*LARGE_TABLES.split("|"), "repositories"):
                await database.write(lambda tx, table=table: tx.execute(f"ANALYZE {table}"))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        yield database


def collector(database: Any, folder: Path) -> Collector:
    return Collector(database, FileStore(folder, StorageSettings()), CollectionSettings(), copied=True)


async def test_no_statement_reads_a_whole_table(place: Place, database: Database, tmp_path: Path) -> None:
    explained = Explained(database, place.kind)
    tested = collector(explained, tmp_path)

    await tested.backlog()
    async for _ in tested.preview():
        break
    step, _ = await tested.collect()

    assert step.examined == 128
    assert len(explained.plans) > 10
    # SQLite names an index where it reads one from its first entry on, which a LIMIT ends soon.
    scans = {sql: plan for sql, plan in explained.plans.items() if _SCANS.search(plan)}
    assert scans == {}


async def test_leased_rows_at_the_front_are_passed_over_once(place: Place, database: Database, tmp_path: Path) -> None:
    await database.write(lambda tx: _note(tx, 9_000_000_000_000_000))
    explained = Explained(database, place.kind)

    steps = [step async for step in collector(explained, tmp_path).run(rests=False)]

    assert sum(step.examined for step in steps) == 0
    assert len(steps) < ROWS[place.kind] / 1024 + 3


async def test_a_thousand_rows_are_looked_at_in_a_moment(
    place: Place, database: Database, tmp_path: Path, announce: Any
) -> None:
    began, examined, after = time.perf_counter(), 0, None
    tested = collector(database, tmp_path)
    step, after = await tested.collect()
    while after is not None and examined < 4000:
        step, after = await tested.collect(after)
        examined += step.examined
    seconds = time.perf_counter() - began

    announce(f"collection on {place.kind}: {examined / seconds:.0f} rows a second, half of them freed")
    assert examined / seconds > 200  # on a machine that does much else; measured alone: see benchmarks
