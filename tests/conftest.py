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

# Only what has rows: TRUNCATE of all takes five times as long, since each of 150 files is made anew. Where there are
# many rows it is what takes less. Triggers do not fire.
_EMPTIED = """
    SET session_replication_role = replica;
    DO $$
    DECLARE named text; filled boolean; many boolean;
    BEGIN
        FOR named IN SELECT quote_ident(tablename) FROM pg_tables
            WHERE schemaname = 'public' AND tablename NOT IN ('pierhead_schema', 'access_epoch')
        LOOP
            EXECUTE format('SELECT EXISTS (SELECT 1 FROM %1$s), EXISTS (SELECT 1 FROM %1$s OFFSET 2000)', named)
               INTO filled, many;
            IF many THEN EXECUTE format('TRUNCATE %s CASCADE', named);
            ELSIF filled THEN EXECUTE format('DELETE FROM %s', named);
            END IF;
        END LOOP;
        PERFORM setval(format('%I.%I', schemaname, sequencename), start_value, false)
           FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL;
    END $$;
    UPDATE access_epoch SET closed = NULL
"""

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
    sql(prepared_postgresql, _EMPTIED)
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
