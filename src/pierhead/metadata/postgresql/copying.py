"""Transactions that last as long as a registry takes to be copied, each on a connection of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pierhead.metadata.database import Transaction
from pierhead.metadata.postgresql import faults
from pierhead.metadata.postgresql.dialling import connect
from pierhead.metadata.postgresql.transaction import PostgresqlTransaction
from pierhead.settings import DatabaseSettings

_UNLIMITED = "".join(
    f"; SET LOCAL {name} = 0" for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
)
# To compile a statement takes longer than any of these. Of memory some of them have use for more than the 4 MB that are
# the default: without it a table of a million digests goes to the disk in many parts.
_READING = "SET LOCAL jit = off; SET LOCAL work_mem = '32MB'"
_SNAPSHOT = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY{_UNLIMITED}; {_READING}"
_FILL = f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE{_UNLIMITED}; SET CONSTRAINTS ALL DEFERRED"
# Ids that are given from now on come after those that were brought.
_IDENTITIES = ("projects", "repositories", "manifests", "events", "tag_history", "trash", "pins")


@asynccontextmanager
async def snapshot(settings: DatabaseSettings) -> AsyncIterator[Transaction]:
    async with _transaction(settings, _SNAPSHOT) as tx:
        await tx.fetch_one("SELECT 1")  # from here on it is this state
        yield tx


@asynccontextmanager
async def fill(settings: DatabaseSettings) -> AsyncIterator[Transaction]:
    async with _transaction(settings, _FILL) as tx:
        yield tx
        for table in _IDENTITIES:
            await tx.fetch_one(
                f"""
                SELECT setval(pg_get_serial_sequence('{table}', 'id'), coalesce(max(id), 0) + 1, false) FROM {table}
                """
            )
        await tx.commit()


@asynccontextmanager
async def _transaction(settings: DatabaseSettings, opening: str) -> AsyncIterator[PostgresqlTransaction]:
    """Rolled back by the end of its connection, unless it was committed."""
    with faults.translated():
        connection = await connect(settings, command_timeout=None)
        try:
            yield PostgresqlTransaction(connection, opening)
        finally:
            connection.terminate()
