"""Where blocking calls run: two bounded pools, so that syncs and hashing do not hold each other up.

Also how their failures read (`storage_errors`), and how long they took (`Observe`).
"""

import asyncio
import errno
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from pierhead.errors import StorageFailed, StorageFull
from pierhead.threads import finished

# Operation, seconds, bytes, whether it went well. Called from any thread.
Observe = Callable[[str, float, int, bool], None]
T = TypeVar("T")

SYNC_THREADS = 32
# A directory call that took longer tells that the disk is busy: for a while the next ones go to a thread.
# Well above what waiting for the GIL can cost.
_SLOW_SECONDS = 0.02
_CAUTION_SECONDS = 1.0


def unobserved(operation: str, seconds: float, size: int, well: bool) -> None:  # noqa: FBT001  as `Observe` has it
    """Measures nothing."""


@contextmanager
def storage_errors(operation: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "unknown error")
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise (StorageFull if full else StorageFailed)(f"{operation}: {name}") from error


class Work:
    def __init__(self, observe: Observe) -> None:
        self.observe = observe
        cores = len(os.sched_getaffinity(0))
        self._hashing = ThreadPoolExecutor(cores, "pierhead-hash")
        self._syncing = ThreadPoolExecutor(SYNC_THREADS, "pierhead-sync")
        self._careful_until = 0.0

    async def close(self) -> None:
        """Waits for what is running."""
        loop = asyncio.get_running_loop()
        for pool in (self._hashing, self._syncing):
            await loop.run_in_executor(None, pool.shutdown)

    def start_hashing(self, operation: str, size: int, call: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._hashing, self._measured, operation, size, call)

    def start_syncing(self, operation: str, size: int, call: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._syncing, self._measured, operation, size, call)

    async def hashing(self, operation: str, size: int, call: Callable[[], T]) -> T:
        return await finished(self.start_hashing(operation, size, call))

    async def syncing(self, operation: str, size: int, call: Callable[[], T]) -> T:
        return await finished(self.start_syncing(operation, size, call))

    async def directory(self, operation: str, size: int, call: Callable[[], T]) -> T:
        """Runs a call that takes microseconds while the disk is well (a thread would double a small upload's cost)."""
        started = time.monotonic()
        if started < self._careful_until:
            return await self.syncing(operation, size, call)
        try:
            return self._measured(operation, size, call)
        finally:
            ended = time.monotonic()
            if ended - started > _SLOW_SECONDS:
                self._careful_until = ended + _CAUTION_SECONDS

    def _measured(self, operation: str, size: int, call: Callable[[], T]) -> T:
        started = time.perf_counter()
        well = False
        try:
            with storage_errors(operation):
                result = call()
            well = True
            return result
        finally:
            self.observe(operation, time.perf_counter() - started, size, well)
