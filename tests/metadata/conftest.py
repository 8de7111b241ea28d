"""A database with a transaction that is never committed: each test starts from nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pierhead.metadata.database import Transaction
from pierhead.metadata.sqlite import engine
from pierhead.metadata.sqlite.transaction import SqliteTransaction


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "pierhead.db"
    engine.prepare(path)
    return path


@pytest.fixture
def tx(prepared: Path) -> Iterator[Transaction]:
    connection = engine.connect(prepared)
    connection.execute("BEGIN IMMEDIATE")
    yield SqliteTransaction(connection)
    connection.execute("ROLLBACK")
    connection.close()
