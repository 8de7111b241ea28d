"""`Database` over PostgreSQL: operations run at once, each on a connection of a bounded pool.

A read that needs a single statement is one round trip: it is run without a transaction around it, and run again
with one where it turns out to need more. Nothing is remembered between two reads; but those who ask the same thing
while one of them waits are answered together, by a read that began after all of them had asked.
"""

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Callable, Coroutine, Hashable, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self, TypeVar

from asyncpg import Connection

from pierhead.errors import ConfigurationError, MetadataUnavailable, PierheadError
from pierhead.metadata.database import Commit, Operation, Transaction, unobserved
from pierhead.metadata.postgresql import copying, faults, requirements
from pierhead.metadata.postgresql.dialling import Dialler
from pierhead.metadata.postgresql.pool import Pool
from pierhead.metadata.postgresql.transaction import AsksMore, OneRead, attended, run
from pierhead.settings import DatabaseSettings

T = TypeVar("T")

_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_WRITE = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
# On the primary's disk, without waiting for standbys.
_LESS_DURABLE = "; SET LOCAL synchronous_commit = local"
_TRIES = 6
_PAUSE_SECONDS = 0.02

log = logging.getLogger(__name__)


class PostgresqlDatabase:
    """Opens while the server is away, too: somebody has to say 503. Raises ConfigurationError where it is unfit."""

    apart = True

    def __init__(self, settings: DatabaseSettings, *, observe: Callable[[Commit], None] = unobserved) -> None:
        self._settings = settings
        self._observe = observe
        self._dialler = Dialler(settings)
        self._running: set[asyncio.Task[Any]] = set()
        # Of what is recalled: the read that is under way, and the one that comes next.
        self._now: dict[Hashable, asyncio.Task[Any]] = {}
        self._next: dict[Hashable, asyncio.Task[Any]] = {}
        self.pool = Pool(self._dialler.dial, settings)

    async def __aenter__(self) -> Self:
        try:
            async with self.pool.lend():
                pass  # the first request finds it open
        except PierheadError as error:
            if self._dialler.unfit:
                raise ConfigurationError([f"database.url: {error}"]) from error
            log.warning("the database is away: %s", error)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*self._running, return_exceptions=True)
        await self.pool.close()

    async def read(self, operation: Operation[T]) -> T:
        return await self._tried(lambda connection: self._read(connection, operation))

    def version(self) -> Hashable:
        return None

    async def recall(self, key: Hashable, operation: Operation[T]) -> T:
        next_one = self._next.get(key)
        if next_one is None:
            next_one = self._next[key] = asyncio.create_task(self._shared(key, operation))
            next_one.add_done_callback(_retrieve)
        result: T = await asyncio.shield(next_one)
        return result

    async def _shared(self, key: Hashable, operation: Operation[T]) -> T:
        if key in self._now:
            await asyncio.wait({self._now[key]})
        # Whoever asks from here on may have seen what this read does not.
        task = self._now[key] = self._next.pop(key)
        try:
            return await self.read(operation)
        finally:
            if self._now.get(key) is task:
                del self._now[key]

    async def write(self, operation: Operation[T], *, durable: bool = True) -> T:
        began = time.perf_counter()
        begin = _WRITE if durable else _WRITE + _LESS_DURABLE
        result = await self._tried(lambda connection: run(connection, begin + self._dialler.opening, operation))
        self._observe(Commit(1, durable, time.perf_counter() - began))
        return result

    def snapshot(self) -> AbstractAsyncContextManager[Transaction]:
        return copying.snapshot(self._settings)

    def fill(self) -> AbstractAsyncContextManager[Transaction]:
        return copying.fill(self._settings)

    async def ping(self) -> Mapping[str, str]:
        found = await self._tried(requirements.facts)
        if mistakes := found.mistakes():
            raise MetadataUnavailable("; ".join(mistakes))
        return {"engine": found.engine}

    async def _read(self, connection: Connection, operation: Operation[T]) -> T:
        if not self._dialler.pooled:
            one = OneRead(connection)
            try:
                return await attended(operation(one), lambda: one.asking)
            except AsksMore:
                pass
        return await run(connection, _SNAPSHOT + self._dialler.opening, operation)

    async def _tried(self, attempt: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
        """To its end, even where the one who asked leaves: to cancel a statement takes a connection of its own."""
        task = asyncio.create_task(self._trying(attempt))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _trying(self, attempt: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
        """Again where the database undid it, and once where the connection had died since it was last used."""
        with faults.translated():
            for number in itertools.count(1):
                try:
                    async with self.pool.lend() as connection:
                        return await attempt(connection)
                except faults.AGAIN:
                    if number == _TRIES:
                        raise
                    await asyncio.sleep(random.uniform(0, number * _PAUSE_SECONDS))  # noqa: S311  not in step
                except TimeoutError:
                    raise
                except faults.LOST as error:
                    if number > 1 or isinstance(error, ValueError):
                        raise
        raise AssertionError  # for the type checker


def _retrieve(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()  # so that nobody complains where every one who asked has left
