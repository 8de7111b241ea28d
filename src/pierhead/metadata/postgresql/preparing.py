"""Before anybody serves: whether the server may be used, and bringing the schema up to date."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asyncpg import Connection
from asyncpg import exceptions as pg

from pierhead.errors import ConfigurationError
from pierhead.metadata.postgresql import faults, requirements, schema
from pierhead.metadata.postgresql.dialling import connect
from pierhead.settings import DatabaseSettings

WAITING_SECONDS = 30.0
_STEP_SECONDS = 0.5

log = logging.getLogger(__name__)


async def prepare(settings: DatabaseSettings) -> None:
    """What `serve` does first: makes the schema of an empty database. Raises ConfigurationError where it may not serve.

    A schema of an earlier version is left to `pierhead migrate`, which an operator runs once for all nodes.
    """
    async with _checked(settings) as connection:
        if await schema.is_empty(connection):
            await schema.create(connection)
        if outside := await schema.refusal(connection):
            raise ConfigurationError([f"database.url: {outside}"])


async def migrate(settings: DatabaseSettings) -> list[str]:
    """The names of the steps that were missing. Raises ConfigurationError, for a schema of a later version too."""
    async with _checked(settings) as connection:
        taken = await schema.migrate(connection)
        if outside := await schema.refusal(connection):
            raise ConfigurationError([f"database.url: {outside}"])
        return taken


@asynccontextmanager
async def _checked(settings: DatabaseSettings) -> AsyncIterator[Connection]:
    """A connection to a server that may be used."""
    try:
        connection = await _patiently(settings)
    except (*faults.LOST, pg.PostgresError, TimeoutError) as error:
        raise ConfigurationError([f"database.url: cannot be reached: {faults.told(error)}"]) from error
    try:
        async with connection.transaction():
            mistakes = (await requirements.facts(connection)).mistakes()
        if mistakes:
            raise ConfigurationError([f"database.url: {mistake}" for mistake in mistakes])
        yield connection
    except (*faults.LOST, pg.PostgresError, TimeoutError) as error:
        raise ConfigurationError([f"database.url: {faults.told(error)}"]) from error
    finally:
        connection.terminate()


async def _patiently(settings: DatabaseSettings) -> Connection:
    """Waits a while for a server that is only just starting, as after a power cut."""
    ending = time.monotonic() + WAITING_SECONDS
    told = False
    while True:
        try:
            return await connect(settings)
        except (OSError, pg.CannotConnectNowError) as error:
            if time.monotonic() > ending:
                raise
            if not told:
                log.warning("waiting up to %g seconds for the database: %s", WAITING_SECONDS, faults.told(error))
                told = True
            await asyncio.sleep(_STEP_SECONDS)
