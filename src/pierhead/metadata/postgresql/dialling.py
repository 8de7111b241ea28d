"""Opening connections: one at a time, to a server that may be used, and ever more seldom while it is away."""

import asyncio
import random
import time
from typing import Any

import asyncpg
from asyncpg import Connection
from asyncpg import exceptions as pg

from pierhead.errors import MetadataUnavailable, PierheadError
from pierhead.metadata.postgresql import faults, requirements, schema
from pierhead.settings import DatabaseSettings

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0  # seconds between two tries
_STATEMENTS = 512  # prepared ones that a connection keeps
_GRACE_SECONDS = 2.0  # after the server's own timeout: then it is not slow but silent


async def connect(settings: DatabaseSettings, **more: Any) -> Connection:
    """A connection that relies on nothing that a pooler between would break."""
    assert settings.url is not None  # noqa: S101  nobody asks for PostgreSQL without
    timeouts = {"timeout": settings.connect_seconds, "command_timeout": settings.statement_seconds + _GRACE_SECONDS}
    plain = {"statement_cache_size": 0, **timeouts}
    connection: Connection = await asyncpg.connect(settings.url.get_secret_value(), **{**plain, **more})
    return connection


class Dialler:
    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._one = asyncio.Lock()
        self._failures = 0
        self._next = 0.0  # monotonic
        self._reason = ""
        self.unfit = False  # the last try found a server, but none that may be used
        # Whether a pooler hands each transaction to another session; None: to be found out.
        self.pooled: bool | None = None

    async def dial(self) -> Connection:
        """Raises MetadataUnavailable, at once while the server is known to be away."""
        if self._failures and self._one.locked():
            raise MetadataUnavailable(self._reason)  # somebody is just looking whether it is back
        async with self._one:
            if self._failures and time.monotonic() < self._next:
                raise MetadataUnavailable(self._reason)
            try:
                with faults.translated():
                    connection = await self._usable()
            except PierheadError as error:
                self._failed(str(error), unfit=error.__cause__ is None or isinstance(error.__cause__, faults.REFUSED))
                raise
            except pg.PostgresError as error:
                self._failed(faults.told(error), unfit=True)
                raise MetadataUnavailable(self._reason) from error
            self._failures = 0
            return connection

    @property
    def opening(self) -> str:
        """What a transaction has to set for itself, where its session may be anybody's."""
        settings = ";".join(f" SET LOCAL {name} = {value}" for name, value in self._limits().items())
        return f";{settings}" if self.pooled else ""

    async def _usable(self) -> Connection:
        if self.pooled is None:
            await self._find_out()
        kept: dict[str, Any] = {"max_cached_statement_lifetime": 0, "statement_cache_size": _STATEMENTS}
        kept["server_settings"] = {"application_name": "pierhead", **self._limits()}
        connection = await connect(self._settings, **({} if self.pooled else kept))
        try:
            await self._require(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _find_out(self) -> None:
        """A pooler tells another process id than the one that answers."""
        connection = await connect(self._settings)
        try:
            async with connection.transaction():
                found = await requirements.facts(connection)
            self.pooled = found.pid != connection.get_server_pid()
        finally:
            connection.terminate()

    async def _require(self, connection: Connection) -> None:
        async with connection.transaction():
            mistakes = (await requirements.facts(connection)).mistakes()
            outside = await schema.refusal(connection)
        if mistakes or outside:
            raise MetadataUnavailable("; ".join(mistakes) or outside)

    def _limits(self) -> dict[str, str]:
        milliseconds = int(self._settings.statement_seconds * 1000)
        return {
            "statement_timeout": str(milliseconds),
            "idle_in_transaction_session_timeout": str(milliseconds),
            "lock_timeout": str(milliseconds * 4 // 5),  # first, so that who waits for others is told so
            "jit": "off",  # to compile a statement takes longer than any of ours
        }

    def _failed(self, reason: str, *, unfit: bool) -> None:
        self._failures += 1
        self._reason = reason
        self.unfit = unfit
        self.pooled = None  # who answers next time may be another one
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self._failures - 1, 8))
        self._next = time.monotonic() + pause * random.uniform(0.5, 1)  # noqa: S311  so that nodes do not ask in step
