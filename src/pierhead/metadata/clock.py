"""The time, as rows keep it: the database's, whatever the clocks of its nodes say."""

import time

from pierhead.metadata.database import Transaction


def now() -> int:
    """Microseconds since 1970, UTC, by this machine's clock: SQLite's `clock_us()`."""
    return time.time_ns() // 1000


async def read(tx: Transaction) -> int:
    """Microseconds since 1970, UTC, by the database's clock."""
    row = await tx.fetch_one("SELECT clock_us()")
    assert row is not None  # noqa: S101  a SELECT without FROM has a row
    moment: int = row[0]
    return moment
