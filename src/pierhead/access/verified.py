"""Credentials that were verified lately: the slow part is done once, and many requests live on it.

What is remembered is who it was, never what he may do: that is asked anew for each request.
"""

import secrets
import time
from collections import OrderedDict
from hashlib import blake2b
from typing import Generic, TypeVar

T = TypeVar("T")


class Verified(Generic[T]):
    def __init__(self, *, seconds: float, entries: int) -> None:
        self._key = secrets.token_bytes(32)
        self._seconds = seconds
        self._entries = entries
        # MAC of a header, or a token of minutes -> until when it is good, and for whom.
        self._found: OrderedDict[bytes, tuple[float, T]] = OrderedDict()

    def mac(self, header: bytes) -> bytes:
        """Keyed BLAKE2b (RFC 7693): a third of HMAC's time, on each request."""
        return blake2b(header, key=self._key, digest_size=32).digest()

    def get(self, key: bytes) -> T | None:
        entry = self._found.get(key)
        if entry is None:
            return None
        if entry[0] < time.monotonic():
            del self._found[key]
            return None
        return entry[1]

    def keep(self, key: bytes, found: T, *, seconds: float | None = None) -> None:
        """For as long as all are kept, or for so many seconds where that is less."""
        lasts = self._seconds if seconds is None else min(seconds, self._seconds)
        if lasts <= 0:
            return
        self._found[key] = (time.monotonic() + lasts, found)
        self._found.move_to_end(key)
        while len(self._found) > self._entries:
            self._found.popitem(last=False)

    def clear(self) -> None:
        self._found.clear()
