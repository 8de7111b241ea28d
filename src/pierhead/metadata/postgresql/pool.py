"""Connections of one worker: a bounded number of them, and a bounded line of those who wait for one."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from asyncpg import Connection

from pierhead.errors import Busy, MetadataUnavailable
from pierhead.settings import DatabaseSettings

_CLOSING_SECONDS = 2.0


class Pool:
    """A slot is the right to have a connection open; it goes to who waits first, with the connection or without."""

    def __init__(self, dial: Callable[[], Awaitable[Connection]], settings: DatabaseSettings) -> None:
        self._dial = dial
        self._settings = settings
        self._idle: list[Connection] = []
        self._line: deque[asyncio.Future[Connection | None]] = deque()
        self._slots = settings.pool_size
        self._closed = False

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[Connection]:
        """Raises Busy where none gets free in time, MetadataUnavailable where none can be opened."""
        connection = await self._take()
        sound = False
        try:
            yield connection
            sound = True
        except TimeoutError:
            self._forget()  # its server has gone silent, theirs too
            raise
        except Exception:
            sound = True  # its own failure, unless a transaction is left behind
            raise
        finally:
            if sound and not (connection.is_closed() or connection.is_in_transaction()):
                self._give(connection)
            else:
                connection.terminate()
                self._give(None)

    @property
    def open(self) -> int:
        return self._settings.pool_size - self._slots

    @property
    def used(self) -> int:
        return self.open - len(self._idle)

    @property
    def waiting(self) -> int:
        return len(self._line)

    async def close(self) -> None:
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*map(_close, idle))

    async def _take(self) -> Connection:
        if self._closed:
            raise MetadataUnavailable("the database is closed")
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
            self._slots += 1
        if not self._slots:
            return await self._wait() or await self._fill()
        self._slots -= 1
        return await self._fill()

    async def _fill(self) -> Connection:
        """A new connection for a slot that is held."""
        try:
            return await self._dial()
        except BaseException:
            self._give(None)
            raise

    async def _wait(self) -> Connection | None:
        if len(self._line) >= self._settings.wait_max:
            raise Busy("too many requests are waiting for the database")
        turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            async with asyncio.timeout(self._settings.wait_seconds):
                return await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # it came at the very moment that nobody waited any more
                self._give(turn.result())
            if isinstance(error, TimeoutError):
                raise Busy("no connection to the database was free in time") from None
            raise
        finally:
            if turn in self._line:
                self._line.remove(turn)

    def _forget(self) -> None:
        while self._idle:
            self._idle.pop().terminate()
            self._slots += 1

    def _give(self, connection: Connection | None) -> None:
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(connection)
                return
        if connection is None:
            self._slots += 1
        elif self._closed:
            connection.terminate()
        else:
            self._idle.append(connection)


async def _close(connection: Connection) -> None:
    try:
        await connection.close(timeout=_CLOSING_SECONDS)
    except Exception:  # noqa: BLE001  whoever is gone needs no farewell
        connection.terminate()
