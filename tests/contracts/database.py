"""The databases that the database contract is kept by, and a table that its tests write to.

A database of another kind becomes one more entry of DATABASES. All connections of one `Place` lead to the same rows.
"""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from pierhead.metadata.database import Commit, Copyable, Transaction, unobserved
from pierhead.metadata.postgresql.database import PostgresqlDatabase
from pierhead.metadata.sqlite.database import SqliteDatabase
from pierhead.settings import DatabaseSettings

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a database of a kind is: its folder, or its URL."""

    kind: str
    where: str

    def open(self, observe: Callable[[Commit], None] = unobserved) -> AbstractAsyncContextManager[Copyable]:
        return DATABASES[self.kind](self.where, observe)

    def elsewhere(self, *arguments: str) -> None:
        """Runs a command of `tests.contracts.other_process` to its end, in a process of its own."""
        command = [sys.executable, "-m", "tests.contracts.other_process", self.kind, self.where, *arguments]
        subprocess.run(command, check=True, cwd=ROOT, timeout=60)


@asynccontextmanager
async def sqlite(folder: str, observe: Callable[[Commit], None]) -> AsyncIterator[Copyable]:
    async with SqliteDatabase(Path(folder) / "pierhead.db", observe=observe) as database:
        yield database


@asynccontextmanager
async def postgresql(url: str, observe: Callable[[Commit], None]) -> AsyncIterator[Copyable]:
    async with PostgresqlDatabase(DatabaseSettings(url=SecretStr(url)), observe=observe) as database:
        yield database


DATABASES = {"sqlite": sqlite, "postgresql": postgresql, "pgbouncer": postgresql}


async def put(tx: Transaction, name: str) -> None:
    await tx.execute("INSERT INTO projects (name, created_at) VALUES (:name, 0)", name=name)


async def names(tx: Transaction) -> list[str]:
    return [name for (name,) in await tx.fetch_all("SELECT name FROM projects ORDER BY name")]


async def exists(tx: Transaction, name: str) -> bool:
    return await tx.fetch_one("SELECT 1 FROM projects WHERE name = :name", name=name) is not None
