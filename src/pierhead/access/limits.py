"""How many requests somebody may make: a bucket that fills again, for each account and for each address.

Each worker counts for itself, so that no request waits for a count: with several workers and nodes up to so many times
as many requests pass. Buckets that are full again are forgotten; however many clients come, memory is bounded.
"""

import math
import time
from collections import OrderedDict

from pierhead.errors import TooManyRequests

_ENTRIES = 20_000


class Buckets:
    def __init__(self, *, rate: float, burst: int) -> None:
        """`rate` requests a second in the long run, `burst` of them at once; a rate of 0 limits nothing."""
        self._rate = rate
        self._burst = float(burst)
        # Whose -> how much was left, and when.
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, whose: str) -> None:
        """Raises TooManyRequests with how long to wait."""
        if not self._rate:
            return
        now = time.monotonic()
        left, at = self._left.get(whose, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        if left < 1:
            raise TooManyRequests("more requests than are allowed", retry_after=math.ceil((1 - left) / self._rate))
        self._left[whose] = left - 1, now
        self._left.move_to_end(whose)
        if len(self._left) > _ENTRIES:
            self._left.popitem(last=False)
