"""Fixtures that many tests share."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from pierhead.metadata.postgresql import preparing
from pierhead.settings import DatabaseSettings
from tests import profiles
from tests.contracts.database import Place
from tests.running import Running, serving
from tests.servers.pgbouncer import pgbouncer
from tests.servers.postgresql import Cluster, sql

profiles.load()

pytest_plugins = ["tests.servers.fixtures"]

_TABLES = (
    "projects",
    "blobs",
    "doomed_keys",
    "removed_keys",
    "scrubs",
    "manifest_contents",
    "events",
    "uploads",
    "secrets",
    "jobs",
    "owed_copies",
    "moves",
    "holds",
    "owed_marks",
    "trash",
    "principals",
    "roles",
    "signing_keys",
    "audit_chain",
    "audit_heads",
    "audit_forwards",
)

ANNOUNCED = pytest.StashKey[list[str]]()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One open server on loopback for the tests of a module."""
    data: Path = tmp_path_factory.mktemp("server") / "data"
    with serving(data, "--workers", "2") as running:
        yield running


@pytest.fixture(scope="session")
def prepared_postgresql(postgresql: Cluster) -> Iterator[str]:
    """The URL of a database with the schema."""
    with postgresql.database("prepared") as url:
        asyncio.run(preparing.prepare(DatabaseSettings(url=SecretStr(url))))
        yield url


@pytest.fixture
def at_postgresql(prepared_postgresql: str) -> str:
    """The URL of a database with the schema and nothing else."""
    emptied = f"TRUNCATE {', '.join(_TABLES)} RESTART IDENTITY CASCADE; UPDATE access_epoch SET closed = NULL"
    sql(prepared_postgresql, emptied)
    return prepared_postgresql


@pytest.fixture(scope="session")
def pooled_postgresql(prepared_postgresql: str) -> Iterator[str]:
    with pgbouncer(prepared_postgresql) as url:
        yield url


@pytest.fixture
def at_pgbouncer(at_postgresql: str, pooled_postgresql: str) -> str:
    """The URL of the same database by way of a pooler that hands each transaction to another session."""
    return pooled_postgresql


@pytest.fixture
def at_sqlite(tmp_path: Path) -> str:
    return str(tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> Place:
    """A new database of each kind."""
    where: str = request.getfixturevalue(f"at_{request.param}")
    return Place(request.param, where)


@pytest.fixture
def client(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.fixture
def announce(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes lines that are worth reading after a run in which everything passed."""
    return request.config.stash.setdefault(ANNOUNCED, []).append


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Last those that look at what all others left."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if lines := terminalreporter.config.stash.get(ANNOUNCED, []):
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)
