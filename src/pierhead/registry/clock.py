"""The time that all nodes agree on, whatever their own clocks say: the database's."""

import time

from pierhead.metadata import clock as rows
from pierhead.metadata.database import Database


class Clock:
    """The database's clock, told between two looks at it from a count that nobody sets."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._began = 0  # microseconds since 1970, when this machine's count was zero

    async def look(self) -> None:
        self._began = await self._database.read(rows.read) - _count()

    def now(self) -> int:
        """Microseconds since 1970, UTC. Good for what may err by seconds; only after a first look."""
        return self._began + _count()


def _count() -> int:
    """Microseconds since this machine started, those included in which it slept."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
