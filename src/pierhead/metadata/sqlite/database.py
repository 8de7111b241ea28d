"""`Database` over SQLite: reads on the event loop, writes in one thread.

A read costs microseconds, less than handing it to a thread. The index of the log tells of every commit, by any
connection of any process, and where it cannot be looked at `data_version` does: the reading connection never writes.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import apsw

from pierhead.errors import MetadataUnavailable, Moved
from pierhead.metadata.database import Commit, Operation, Transaction, unobserved
from pierhead.metadata.sqlite import engine, log_index
from pierhead.metadata.sqlite.transaction import SqliteTransaction, complete
from pierhead.metadata.sqlite.writer import Writer

T = TypeVar("T")
_ABSENT = object()


class SqliteDatabase:
    apart = False

    def __init__(self, path: Path, *, remembered: int = 65_536, observe: Callable[[Commit], None] = unobserved) -> None:
        self._path = path
        self._limit = remembered
        self._observe = observe
        self._remembered: dict[Hashable, Any] = {}
        self._header: log_index.Header | None = None
        self._version: Hashable = None
        self._moved = False
        self._hits = 0
        self._misses = 0

    async def __aenter__(self) -> Self:
        engine.prepare(self._path)
        self._reader = engine.connect(self._path)
        self._reader.execute("PRAGMA query_only = ON")
        self._ask = self._reader.cursor().execute
        self._transaction = SqliteTransaction(self._reader)
        with engine.translated(self._reader):
            self._ask("SELECT 1 FROM projects LIMIT 1").fetchall()
            self._writer = Writer(self._path, self._observe)
        self._header = log_index.header(self._reader)
        # From here on the log's file stays: SQLite syncs its name only where its first writer commits with FULL.
        _sync(self._path.parent)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._header = None
        self._writer.close()
        self._reader.close()

    async def read(self, operation: Operation[T]) -> T:
        with engine.translated(self._reader):
            self._look()
            return self._read(operation)

    def version(self) -> Hashable:
        try:  # in full rather than `translated`: this is the hottest line of all
            self._look()
        except apsw.Error as error:
            raise MetadataUnavailable(str(error)) from error
        return self._version

    async def recall(self, key: Hashable, operation: Operation[T]) -> T:
        # The version first: a row that is younger than it is only read once too often.
        self.version()
        found = self._remembered.get(key, _ABSENT)
        if found is not _ABSENT:
            self._hits += 1
            result: T = found
            return result
        self._misses += 1
        with engine.translated(self._reader):
            result = self._read(operation)
        if len(self._remembered) >= self._limit:
            self._remembered.clear()
        self._remembered[key] = result
        return result

    def write(self, operation: Operation[T], *, durable: bool = True) -> Awaitable[T]:
        return self._writer.submit(operation, durable=durable)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Transaction]:
        """On a connection of its own. The log cannot be begun anew before its end."""
        with engine.translated(), closing(engine.connect(self._path)) as connection:
            connection.execute("BEGIN")
            connection.execute("SELECT 1 FROM projects LIMIT 1").fetchall()  # from here on it is this state
            yield SqliteTransaction(connection)

    @asynccontextmanager
    async def fill(self) -> AsyncIterator[Transaction]:
        """On a connection of its own: nobody else writes meanwhile."""
        with engine.translated(), closing(engine.connect(self._path)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("PRAGMA defer_foreign_keys = ON")
            yield SqliteTransaction(connection)
            connection.execute("COMMIT")

    def take_lookups(self) -> tuple[int, int]:
        """Hits and misses of `recall` since this was last asked."""
        taken = self._hits, self._misses
        self._hits = self._misses = 0
        return taken

    def log_length(self) -> int:
        """Bytes of the write-ahead log. Raises OSError."""
        return self._path.with_name(self._path.name + "-wal").stat().st_size

    async def ping(self) -> Mapping[str, str]:
        with engine.translated(self._reader):
            self._look()
            self._ask("SELECT 1 FROM projects LIMIT 1").fetchall()
        return {"engine": f"SQLite {engine.version()}"}

    def _look(self) -> None:
        """Whether anything was committed since the last look. Raises Moved where the registry has gone."""
        header = self._header
        version = header.raw if header is not None else self._ask("PRAGMA data_version").get
        if version != self._version:
            self._remembered.clear()
            self._moved = bool(self._ask("SELECT 1 FROM moves WHERE state = 'moved'").fetchall())
            self._version = version
        if self._moved:
            raise Moved

    def _read(self, operation: Operation[T]) -> T:
        self._ask("BEGIN")
        try:
            return complete(operation(self._transaction))
        finally:
            self._ask("COMMIT")


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
