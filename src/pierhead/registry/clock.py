"""The time that all nodes agree on, whatever their own clocks say: the database's."""

import time

from pierhead.metadata import clock as rows
from pierhead.metadata.database import Database

_AGE = 600_000_000  # microseconds


class Clock:
    """The database's clock, told between two looks at it from a count that nobody sets."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looked_at = -_AGE - 1
        self._began = 0  # microseconds since 1970, when this machine's count was zero

    async def look(self) -> None:
        self._began = await self._database.read(rows.read) - _count()
        self._looked_at = _count()

    async def look_now_and_then(self) -> None:
        """So that the two clocks do not drift apart by more than a moment."""
        if _count() - self._looked_at > _AGE:
            await self.look()

    def now(self) -> int:
        """Microseconds since 1970, UTC. Good for what may err by seconds; only after a first look."""
        return self._began + _count()


def _count() -> int:
    """Microseconds since this machine started, those included in which it slept."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
