"""How an adapter calls its service: each try in time and measured, and again while a failure may pass."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from pierhead.blobs.objects.patience import persist
from pierhead.blobs.work import Observe

T = TypeVar("T")

# A try may take so long, and longer where it has a body.
TRY_SECONDS = 60.0
_SLOWEST = 1024 * 1024  # bytes a second
_AT_ONCE = 16


@dataclass(slots=True)
class Tally:
    size: int = 0  # bytes


@dataclass(frozen=True, slots=True)
class Attempts:
    errors: Callable[[str], AbstractContextManager[None]]  # of the service, as ours; told the operation
    budget_seconds: float
    observe: Observe = field(repr=False)

    async def persist(
        self, operation: str, call: Callable[[], Awaitable[T]], *, size: int = 0, seconds: float | None = None
    ) -> T:
        """`size` is that of the body, `seconds` another budget than usual."""

        async def attempt() -> T:
            with self.attempt(operation, size):
                async with asyncio.timeout(TRY_SECONDS + size / _SLOWEST):
                    return await call()

        return await persist(attempt, self.budget_seconds if seconds is None else seconds)

    @contextmanager
    def attempt(self, operation: str, size: int = 0) -> Iterator[Tally]:
        """One try, measured; who learns the size only while it runs, tells the tally."""
        begun, tally, well = time.perf_counter(), Tally(size), False
        try:
            with self.errors(operation):
                yield tally
            well = True
        finally:
            self.observe(operation, time.perf_counter() - begun, tally.size, well)


async def some_at_once(jobs: Sequence[Awaitable[object]]) -> None:
    """Does all; raises the first failure, once those that ran beside it are over."""
    waiting = iter(jobs)
    while some := list(islice(waiting, _AT_ONCE)):
        for outcome in await asyncio.gather(*some, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
