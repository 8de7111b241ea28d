"""Brute force: after some wrong passwords the next one has to wait, longer each time.

Counted by name and address together, by name, and by address; each with a patience of its own. Nobody is kept out by
guesses that others make: where somebody came in lately, what was guessed there for that name alone counts. Only
passwords are counted and held back: tokens and sessions are too long to be guessed, and go on.

A name counts as a directory may read it, whatever its case; an address of IPv6 by its network. What is being checked
just now counts too: guesses that are sent at once are no more than guesses sent one after another.
"""

import time
import unicodedata
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from pierhead.addresses import countable
from pierhead.errors import TooManyRequests

_FORGOTTEN_SECONDS = 3600.0
_KNOWN_SECONDS = 86_400.0
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
        # (name, address) -> when somebody came in there by that name
        self._right: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._trying: dict[tuple[str, str], int] = {}

    def require(self, name: str, address: str) -> None:
        """Raises TooManyRequests while somebody has to wait."""
        now = time.monotonic()
        waits = (self._wait(key, limit, now) for key, limit in self._counting(name, address))
        wait = max(waits, default=0.0)
        if wait > 0:
            raise TooManyRequests("too many wrong passwords", retry_after=int(wait) + 1)

    @contextmanager
    def trying(self, name: str, address: str) -> Iterator[None]:
        """While a password is checked. Raises TooManyRequests where as many are being checked as may be wrong."""
        keys = self._counting(name, address)
        if any(self._trying.get(key, 0) >= max(limit - self._count(key), 1) for key, limit in keys):
            raise TooManyRequests("too many passwords are being checked", retry_after=1)
        for key, _ in keys:
            self._trying[key] = self._trying.get(key, 0) + 1
        try:
            yield
        finally:
            for key, _ in keys:
                self._trying[key] -= 1
                if not self._trying[key]:
                    del self._trying[key]

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
        key = _spelled(name), countable(address)
        self._wrong.pop(key, None)
        self._right[key] = time.monotonic()
        self._right.move_to_end(key)
        while len(self._right) > _ENTRIES:
            self._right.popitem(last=False)

    def _counting(self, name: str, address: str) -> tuple[tuple[tuple[str, str], int], ...]:
        """What is looked at: where somebody came in by this name, not what others did."""
        keys = self._keys(name, address)
        since = self._right.get(keys[0][0]) if keys else None
        return keys if since is None or time.monotonic() - since > _KNOWN_SECONDS else keys[:1]

    def _keys(self, name: str, address: str) -> tuple[tuple[tuple[str, str], int], ...]:
        if not self._failures:
            return ()
        name, address = _spelled(name), countable(address)
        return (
            ((name, address), self._failures),
            ((name, ""), self._failures * _BY_NAME),
            (("", address), self._failures * _BY_ADDRESS),
        )

    def _wait(self, key: tuple[str, str], limit: int, now: float) -> float:
        count, last = self._count(key), self._wrong.get(key, (0, now))[1]
        if count < limit:
            return 0.0
        return last + min(2.0 ** min(count - limit, 20), self._longest) - now

    def _count(self, key: tuple[str, str]) -> int:
        """How many were wrong within the last hour."""
        count, last = self._wrong.get(key, (0, 0.0))
        return 0 if time.monotonic() - last > _FORGOTTEN_SECONDS else count


def _spelled(name: str) -> str:
    return unicodedata.normalize("NFKC", name).strip().casefold()
