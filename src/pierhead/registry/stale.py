"""What a registry may still say while its database is away (setting `database.serve_stale`).

A digest names the same bytes for ever; that a repository holds it is a row, and somebody may have deleted that since.
So only what this worker found lately counts, only by digest, and whether the caller may pull is asked as ever.
"""

import time
from typing import TypeVar

from pierhead.errors import Busy, MetadataUnavailable
from pierhead.metadata.database import Database, Operation
from pierhead.models import Digest, RepositoryName, TagName

T = TypeVar("T")
Key = tuple[str, RepositoryName, Digest | TagName]
_ENTRIES = 10_000


class Stale:
    def __init__(self, database: Database, seconds: float, *, entries: int = _ENTRIES) -> None:
        self._database = database
        self._seconds = seconds
        self._entries = entries
        self._found: dict[Key, tuple[object, float]] = {}  # oldest first

    async def recall(self, key: Key, operation: Operation[T]) -> T:
        """`Database.recall`, and while the database is away what it said last."""
        if not isinstance(key[2], Digest):
            return await self._database.recall(key, operation)
        try:
            found = await self._database.recall(key, operation)
        except (Busy, MetadataUnavailable):
            remembered, at = self._found.get(key, (None, 0.0))
            if remembered is None or time.monotonic() - at > self._seconds:
                raise
            return remembered  # type: ignore[return-value]  # kept under the same key, so of the same type
        self._keep(key, found)
        return found

    def _keep(self, key: Key, found: object) -> None:
        self._found.pop(key, None)
        if found is not None:
            self._found[key] = found, time.monotonic()
        if len(self._found) > self._entries:
            del self._found[next(iter(self._found))]
