"""Brute force: after some wrong passwords the next one has to wait, longer each time.

Counted by name and address together, by name, and by address; each with a patience of its own, so that nobody is kept
out for long by guesses that others make. Only passwords are counted and held back: tokens and sessions are too long to
be guessed, and go on.
"""

import time
from collections import OrderedDict

from pierhead.errors import TooManyRequests

_FORGOTTEN_SECONDS = 3600.0
_ENTRIES = 20_000
# How many times more wrong passwords are taken for a name from everywhere, and from an address for all names.
_BY_NAME, _BY_ADDRESS = 4, 10


class Backoff:
    def __init__(self, *, failures: int, longest: float) -> None:
        """After so many `failures` the waiting begins, with a second; it doubles up to `longest` seconds."""
        self._failures = failures
        self._longest = longest
        # (name, address) -> how many, and when the last one was
        self._wrong: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()

    def require(self, name: str, address: str) -> None:
        """Raises TooManyRequests while somebody has to wait."""
        now = time.monotonic()
        waits = (self._wait(key, limit, now) for key, limit in self._keys(name, address))
        wait = max(waits, default=0.0)
        if wait > 0:
            raise TooManyRequests("too many wrong passwords", retry_after=int(wait) + 1)

    def wrong(self, name: str, address: str) -> None:
        now = time.monotonic()
        for key, _ in self._keys(name, address):
            count, last = self._wrong.get(key, (0, now))
            self._wrong[key] = (1 if now - last > _FORGOTTEN_SECONDS else count + 1, now)
            self._wrong.move_to_end(key)
        while len(self._wrong) > _ENTRIES:
            self._wrong.popitem(last=False)

    def right(self, name: str, address: str) -> None:
        """Whoever knows the password is not who guessed. What was guessed at other names counts on."""
        self._wrong.pop((name, address), None)

    def _keys(self, name: str, address: str) -> tuple[tuple[tuple[str, str], int], ...]:
        if not self._failures:
            return ()
        return (
            ((name, address), self._failures),
            ((name, ""), self._failures * _BY_NAME),
            (("", address), self._failures * _BY_ADDRESS),
        )

    def _wait(self, key: tuple[str, str], limit: int, now: float) -> float:
        count, last = self._wrong.get(key, (0, 0.0))
        if count < limit or now - last > _FORGOTTEN_SECONDS:
            return 0.0
        return last + min(2.0 ** min(count - limit, 20), self._longest) - now
