"""The hash of an upload, in batches that a thread takes while the next one gathers."""

import asyncio
from functools import partial

from pierhead.blobs.hashing import Hash
from pierhead.blobs.work import Work
from pierhead.threads import ended, finished

# Up to here a thread costs more than hashing on the loop does.
_INLINE = 64 * 1024


class Digester:
    def __init__(self, work: Work, hash_: Hash, batch: int) -> None:
        self.algorithm = hash_.algorithm
        self._work = work
        self._hash = hash_
        self._batch = batch  # bytes
        self._fresh: list[bytes] = []
        self._waiting = 0  # bytes of them
        # The last batch, while it may run.
        self._job: asyncio.Future[None] | None = None

    async def add(self, data: bytes) -> None:
        self._fresh.append(data)
        self._waiting += len(data)
        if self._waiting >= self._batch:
            await self._settle()
            self._start()

    async def state(self) -> bytes | None:
        await self._catch_up()
        return self._hash.state

    async def hexdigest(self) -> str:
        await self._catch_up()
        return self._hash.hexdigest()

    async def close(self) -> None:
        if self._job is not None:
            await ended(self._job)

    async def _catch_up(self) -> None:
        await self._settle()
        if self._waiting > _INLINE:
            self._start()
            await self._settle()
        elif self._fresh:
            self._feed(self._take())

    async def _settle(self) -> None:
        if self._job is not None:
            await finished(self._job)
            self._job = None

    def _start(self) -> None:
        size = self._waiting
        self._job = self._work.start_hashing("hash", size, partial(self._feed, self._take()))

    def _take(self) -> list[bytes]:
        fresh, self._fresh, self._waiting = self._fresh, [], 0
        return fresh

    def _feed(self, frames: list[bytes]) -> None:
        for frame in frames:
            self._hash.update(frame)
