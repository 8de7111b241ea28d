"""Reading all blobs again, slowly, to find out about damage while there is still a copy somewhere.

A cycle goes through the digests in the order of their digits. Those are spread evenly, so that the time of the cycle
that has passed tells up to which of them it should be by now, without counting anything.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pierhead.blobs.store import BlobStore
from pierhead.errors import BlobMissing, StorageFailed
from pierhead.metadata import clock as clock_rows
from pierhead.metadata import damage as damage_rows
from pierhead.metadata import scrubs as rows
from pierhead.metadata.damage import Range
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.scrubs import Portion, Scrubbed
from pierhead.models import HEX_LENGTHS, Blob
from pierhead.registry import faults
from pierhead.registry.damage import Damage
from pierhead.registry.pace import Pace
from pierhead.settings import ScrubSettings

_DAY = 86_400_000_000  # microseconds
_AT_ONCE = 64  # blobs
_BYTES_AT_ONCE = 512 * 1024 * 1024
_DIGITS = 8  # of a digest that a moment stands for
_PAST_ALL = "g"  # comes after every hex digit

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Numbers:
    """How it stands, for metrics."""

    coverage: float  # of the blobs, from 0 to 1, in this cycle
    damaged: int  # blobs that are damaged now
    whole_at: int | None  # microseconds since 1970


Read = Callable[[int, int], None]  # blobs, bytes


class Scrub:
    def __init__(
        self,
        database: Database,
        store: BlobStore,
        damage: Damage,
        settings: ScrubSettings,
        read: Read = lambda *_: None,
    ) -> None:
        self._database = database
        self._store = store
        self._damage = damage
        self._period = int(settings.days * _DAY)
        self._pace = Pace(settings.rate_bytes)
        self._read = read

    @property
    def on(self) -> bool:
        return self._period > 0

    async def wanted(self) -> bool:
        """Whether a blob is due, or a cycle is over."""
        return await self._database.read(self._due)

    async def _due(self, tx: Transaction) -> bool:
        state = await rows.find(tx)
        if state is None:
            return bool(await _next(tx, Range("", _PAST_ALL), limit=1))
        upto = self._upto(state, await clock_rows.read(tx))
        return upto == _PAST_ALL or bool(await _next(tx, Range(state.reached, upto), limit=1))

    async def go(self) -> bool:
        """Reads some that are due; False where none are, or somebody else goes on. Harmless at once with others."""
        state = await self._database.read(rows.find)
        if state is None:
            await self._database.write(rows.begin, durable=False)
            return True
        upto = self._upto(state, await self._database.read(clock_rows.read))
        blobs = await self._database.read(partial(_next, span=Range(state.reached, upto), limit=_AT_ONCE))
        if blobs:
            portion = await self._look_at(blobs)
            return await self._database.write(partial(rows.advance, before=state, portion=portion), durable=False)
        if upto == _PAST_ALL:
            await self._database.write(partial(rows.begin_anew, before=state), durable=False)
        return False

    async def state(self) -> Scrubbed | None:
        return await self._database.read(rows.find)

    async def numbers(self) -> Numbers:
        state, damaged = await self.state(), await self._damage.count()
        return Numbers(coverage(state), damaged, state.whole_at if state else None)

    def _upto(self, state: Scrubbed, now: int) -> str:
        """The digits at which it should be by now."""
        share = (now - state.began_at) / self._period
        return _PAST_ALL if share >= 1 else f"{int(max(0.0, share) * 16**_DIGITS):0{_DIGITS}x}"

    async def _look_at(self, blobs: list[Blob]) -> Portion:
        size, damaged, looked = 0, 0, 0
        for blob in blobs:
            damaged += await self._is_damaged(blob)
            size += blob.size
            looked += 1
            self._read(1, blob.size)
            if size >= _BYTES_AT_ONCE:
                break
        return Portion(blobs[looked - 1].digest.hex, looked, size, damaged)

    async def _is_damaged(self, blob: Blob) -> bool:
        try:
            current, wrong = await faults.settled(self._database, self._store, blob, pace=self._pace)
        except (StorageFailed, BlobMissing):
            # Of a store that is away altogether nothing is learned: the job fails, and goes on from here later.
            await self._store.ping()
            log.exception("a blob cannot be read", extra={"digest": blob.digest, "key": blob.key})
            return False
        if wrong is not None:
            await self._damage.report(current, wrong, by="scrub")
        elif current.damage is not None:
            await self._damage.clear(current)
        return wrong is not None


def coverage(state: Scrubbed | None) -> float:
    """The share of the blobs that were looked at in this cycle, as their digests tell."""
    return int(state.reached[:_DIGITS], 16) / 16**_DIGITS if state and state.reached else 0.0


async def _next(tx: Transaction, span: Range, *, limit: int) -> list[Blob]:
    found = [blob for algorithm in HEX_LENGTHS for blob in await damage_rows.within(tx, algorithm, span, limit=limit)]
    return sorted(found, key=lambda blob: blob.digest.hex)[:limit]
