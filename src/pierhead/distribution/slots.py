"""How many uploads write at once: each holds some megabytes while its bytes are hashed and written."""

import asyncio

from pierhead.errors import Busy
from pierhead.observability.instruments import Gauge

# A client that waits is held back by TCP, not by memory; after so long it had better come back.
_WAIT_SECONDS = 10.0


class UploadSlots:
    """`async with slots:` waits for its turn. Raises Busy where that takes too long."""

    def __init__(self, count: int, gauge: Gauge) -> None:
        self._free = asyncio.Semaphore(count)
        self._gauge = gauge

    async def __aenter__(self) -> None:
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError as error:
            raise Busy("too many uploads at once (setting uploads.max_concurrent)") from error
        self._gauge.add(1)

    async def __aexit__(self, *_: object) -> None:
        self._gauge.add(-1)
        self._free.release()
