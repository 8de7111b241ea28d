"""How long a service is asked again: until it works, says a plain no, or a budget of time is used up."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pierhead.errors import StorageFailed

T = TypeVar("T")

BUDGET_SECONDS = 30.0
_FIRST_WAIT = 0.1  # seconds; doubles with each try, and half of it is random so that nodes spread out
_LONGEST_WAIT = 5.0  # seconds
# What services answer when the same request may well succeed a moment later.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class Fault(Exception):
    """A failure that may pass: an adapter raises it in place of the foreign one."""


class Patience:
    """One budget. It begins anew with each success of a job that has many."""

    def __init__(self, seconds: float = BUDGET_SECONDS) -> None:
        self._seconds = seconds
        self.renew()

    def renew(self) -> None:
        self._until = time.monotonic() + self._seconds
        self._next_wait = _FIRST_WAIT

    async def bear(self, fault: Fault) -> None:
        """Waits before the next try. Raises StorageFailed where there shall be none."""
        wait = self._next_wait * random.uniform(0.5, 1)  # noqa: S311  spreads tries, guards nothing
        if time.monotonic() + wait > self._until:
            raise StorageFailed(str(fault)) from fault
        self._next_wait = min(2 * self._next_wait, _LONGEST_WAIT)
        await asyncio.sleep(wait)


async def persist(call: Callable[[], Awaitable[T]], seconds: float = BUDGET_SECONDS) -> T:
    """What the call returns once it works. Raises StorageFailed where only faults came within the budget."""
    patience = Patience(seconds)
    while True:
        try:
            return await call()
        except Fault as fault:
            await patience.bear(fault)
