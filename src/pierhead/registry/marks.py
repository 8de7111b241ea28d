"""What a store of objects is told of its finished blobs, so that they could be found again without the rows.

A mark is owed from the transaction on that commits a blob, and is made soon after the client got its answer. What a
process that died left owing is made by whoever sweeps.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from pierhead.blobs.store import BlobStore, MarksDigests
from pierhead.errors import PierheadError
from pierhead.metadata import marks as rows
from pierhead.metadata.database import Database, Transaction
from pierhead.models import Digest, Mark

_AT_ONCE = 16
_FRESH_MAX = 10_000
# What was owed for less long than this may be under way in another process.
_ORPHANED = 60_000_000  # microseconds

log = logging.getLogger(__name__)


class Marks:
    def __init__(self, database: Database, store: BlobStore) -> None:
        self._database = database
        self._store = store if isinstance(store, MarksDigests) else None
        self._fresh: deque[Mark] = deque()
        self._called = asyncio.Event()

    async def owe(self, tx: Transaction, digest: Digest, key: str) -> None:
        if self._store:
            await rows.owe(tx, Mark(digest, key))

    def make(self, digest: Digest, key: str) -> None:
        """Soon, by `run`, or by the sweep where many wait. It was owed by a transaction that is committed."""
        if self._store and len(self._fresh) < _FRESH_MAX:
            self._fresh.append(Mark(digest, key))
            self._called.set()

    async def run(self) -> None:
        """Makes marks for ever."""
        while True:
            await self._called.wait()
            self._called.clear()
            while self._fresh:
                batch = [self._fresh.popleft() for _ in range(min(_AT_ONCE, len(self._fresh)))]
                try:
                    await self._settle(batch)
                except PierheadError:
                    log.warning("%d marks could not be made; the sweep will make them", len(batch), exc_info=True)

    async def any_left(self) -> bool:
        return bool(await self._database.read(lambda tx: rows.owed(tx, age=_ORPHANED, limit=1)))

    async def sweep(self) -> int:
        """Makes some that were left owing, and returns how many. Harmless at once with others."""
        owed = await self._database.read(lambda tx: rows.owed(tx, age=_ORPHANED, limit=_AT_ONCE))
        if owed:
            await self._settle(owed)
        return len(owed)

    async def _settle(self, batch: Sequence[Mark]) -> None:
        if self._store:
            for mark in batch:  # one after another: they do not stand in the way of pushes
                await self._store.mark(mark.digest, mark.key)
        await self._database.write(lambda tx: rows.settle(tx, batch), durable=False)
