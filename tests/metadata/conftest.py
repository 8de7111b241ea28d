"""A database of each kind with a transaction that is never committed: each test starts from nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from pierhead.metadata.database import Transaction
from pierhead.metadata.postgresql import preparing
from pierhead.metadata.postgresql.transaction import PostgresqlTransaction
from pierhead.metadata.sqlite import engine
from pierhead.metadata.sqlite.transaction import SqliteTransaction
from pierhead.settings import DatabaseSettings
from tests.servers.postgresql import Cluster


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def prepared_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "pierhead.db"
    engine.prepare(path)
    return path


@pytest.fixture(scope="session")
def rows_postgresql(postgresql: Cluster) -> Iterator[str]:
    with postgresql.database("rows") as url:
        asyncio.run(preparing.prepare(DatabaseSettings(url=SecretStr(url))))
        yield url


@asynccontextmanager
async def _sqlite(path: Path) -> AsyncIterator[Transaction]:
    connection = engine.connect(path)
    connection.execute("BEGIN IMMEDIATE")
    yield SqliteTransaction(connection)
    connection.execute("ROLLBACK")
    connection.close()


@asynccontextmanager
async def _postgresql(url: str) -> AsyncIterator[Transaction]:
    connection = await asyncpg.connect(url)
    tx = PostgresqlTransaction(connection, "BEGIN")
    yield tx
    await tx.roll_back()
    await connection.close()


@pytest.fixture
async def sqlite_tx(prepared_sqlite: Path) -> AsyncIterator[Transaction]:
    async with _sqlite(prepared_sqlite) as tx:
        yield tx


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest) -> AbstractAsyncContextManager[Transaction]:
    if request.param == "sqlite":
        return _sqlite(request.getfixturevalue("prepared_sqlite"))
    return _postgresql(request.getfixturevalue("rows_postgresql"))


@pytest.fixture
async def tx(opened: AbstractAsyncContextManager[Transaction]) -> AsyncIterator[Transaction]:
    async with opened as tx:
        yield tx
