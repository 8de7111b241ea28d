"""How many uploads write at once: each holds some megabytes while its bytes are hashed and written."""

import asyncio

from pierhead.observability.instruments import Gauge


class UploadSlots:
    """`async with slots:` waits for its turn; a client that waits is held back by TCP, not by memory."""

    def __init__(self, count: int, gauge: Gauge) -> None:
        self._free = asyncio.Semaphore(count)
        self._gauge = gauge

    async def __aenter__(self) -> None:
        await self._free.acquire()
        self._gauge.add(1)

    async def __aexit__(self, *_: object) -> None:
        self._gauge.add(-1)
        self._free.release()
