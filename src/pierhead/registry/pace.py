"""Reading no faster than somebody allows, whoever else needs the disk."""

import asyncio
import time

# So much may be read at once after a rest.
_BURST_SECONDS = 0.25


class Pace:
    """So many bytes a second, over all who keep it; 0 is as fast as it goes."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._free_at = 0.0  # when all that was read would have been read at this rate

    async def keep(self, size: int) -> None:
        """After reading so many bytes: waits until they were not too many."""
        if not self._rate:
            return
        now = time.monotonic()
        self._free_at = max(self._free_at, now - _BURST_SECONDS) + size / self._rate
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)


UNHURRIED = Pace(0)
