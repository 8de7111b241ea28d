"""Blobs whose bytes are not what they were. Whoever finds out tells it here; for clients they are there no more."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Literal

from pierhead.blobs.store import BlobStore
from pierhead.metadata import damage as rows
from pierhead.metadata import locks
from pierhead.metadata.database import Database, Transaction
from pierhead.models import Blob
from pierhead.registry import faults

By = Literal["pull", "push", "scrub", "check"]
Found = Callable[[str, str], None]  # who found it, and what it is in a word

log = logging.getLogger(__name__)


def unnoticed(by: str, what: str) -> None:
    """Counts nothing."""


class Damage:
    def __init__(self, database: Database, store: BlobStore, found: Found = unnoticed) -> None:
        self._database = database
        self._store = store
        self._found = found

    async def report(self, blob: Blob, wrong: str, *, by: By) -> bool:
        """The bytes under a blob's key are wrong, and somebody made sure that its row still names them.

        From now on it is not served, and the next push of it brings other bytes. False where that was so before.
        Raises StorageFailed where the whole store is away: then nobody knows what is wrong with one blob.
        """
        if not blob.inline:
            await self._store.ping()

        async def mark(tx: Transaction) -> bool:
            await tx.lock(locks.blob(blob.digest))
            return await rows.mark(tx, blob, wrong)

        if not await self._database.write(mark, durable=False):
            return False
        self._found(by, faults.kind(wrong))
        fields = {"digest": blob.digest, "key": blob.key, "found_by": by}
        log.error("a blob is damaged: %s; it counts as not there until it is pushed again", wrong, extra=fields)
        return True

    def manifest(self, digest: str, *, by: By) -> None:
        """A manifest's row holds other bytes. Each push of it writes them anew."""
        self._found(by, "manifest")
        log.error("a manifest is damaged: its row holds other bytes; push it again", extra={"digest": digest})

    async def clear(self, blob: Blob) -> bool:
        """A blob that was called damaged is sound; False where it was not called so."""

        async def clear(tx: Transaction) -> bool:
            await tx.lock(locks.blob(blob.digest))
            return await rows.clear(tx, blob)

        if not await self._database.write(clear, durable=False):
            return False
        log.warning("a blob that was damaged is sound again", extra={"digest": blob.digest, "key": blob.key})
        return True

    async def count(self) -> int:
        return await self._database.read(rows.count)

    async def page(self, after: str, *, limit: int) -> list[Blob]:
        """Some damaged blobs past a digest."""
        return await self._database.read(partial(rows.page, after=after, limit=limit))
