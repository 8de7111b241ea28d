"""Moving a registry that serves to another database and another store.

Triggers write down what changes from the first moment on. Rows and bytes are copied, then what changed
meanwhile, again and again, until that takes less than a second. Then the source is frozen: its writers are
refused, the rest is copied, and in the very transaction that finds nothing left the source becomes one that
has moved. A freeze is over by itself, so one whose end does not come in time costs a try and no more.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

from pierhead.errors import ConfigurationError, MoveFailed
from pierhead.metadata import copying, moves
from pierhead.metadata.database import Transaction
from pierhead.metadata.sqlite import capture
from pierhead.metadata.tables import TABLES, Key, Table
from pierhead.moving import content, rows
from pierhead.moving.backup import held
from pierhead.moving.progress import Progress, Silent
from pierhead.moving.restore import arrive, claim
from pierhead.moving.side import Copied, Side

FREEZE_SECONDS = 5.0
FREEZES_MAX = 5
# The rest is for the commits at its ends.
_WORK_SECONDS = 4.0
_SHORT_SECONDS = 1.0
_ROUNDS_MAX = 1000
_PAUSE_SECONDS = 2.0  # between two freezes, for those who were refused
_PAGE = 500  # changes


@dataclass(frozen=True, slots=True)
class Places:
    """In words, without secrets."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Grown:
    copied: Copied
    freezes: int
    frozen_seconds: float  # the last time


class Growth:
    """One run; the next one goes on with what an unfinished one has copied."""

    def __init__(
        self,
        source: Side,
        target: Side,
        places: Places,
        progress: Progress,
        *,
        read: bool = False,
        copied: bool = False,
    ) -> None:
        self._source = source
        self._target = target
        self._places = places
        self._progress = progress
        self._read = read
        self._copied = copied  # whether the target's store keeps copies of rows
        self._rows = self._blobs = self._bytes = 0

    async def run(self) -> Grown:
        """Raises ConfigurationError, MoveFailed; the source then serves as before."""
        freezes, frozen = 0, 0.0
        if not await self._has_moved():
            await claim(self._target.database, self._places.source)
            try:
                async with held(self._source.database):
                    await self._source.database.write(capture.begin)
                    await self._copy()
                    freezes, frozen = await self._hand_over()
            except BaseException:
                await give_up(self._source)
                raise
        # Only now, so that at no moment both of them can be served.
        await self._target.database.write(partial(arrive, copied=self._copied))
        totals = await self._target.database.read(rows.counts)
        copied = Copied(self._rows, self._blobs, self._bytes, sum(totals.values()), totals["blobs"])
        return Grown(copied, freezes, frozen)

    async def _has_moved(self) -> bool:
        """Whether an earlier run got so far and no further. Raises ConfigurationError where it went elsewhere."""
        async with self._source.database.snapshot() as tx:
            moved, filling = await moves.place(tx, "moved"), await moves.place(tx, "filling")
        if filling is not None:
            raise ConfigurationError([f"this registry is not whole: it is being filled from {filling}"])
        if moved not in (None, self._places.target):
            raise ConfigurationError([f"this registry has moved to {moved} already"])
        return moved is not None

    async def _copy(self) -> None:
        async with self._source.database.snapshot() as theirs, self._target.database.fill() as ours:
            seen = await capture.latest(theirs)
            self._rows += await rows.synchronize(theirs, ours, self._progress)
        await content.look(self._target, self._progress, read=self._read)
        await self._carry(self._progress)
        await self._source.database.write(lambda tx: capture.forget(tx, seen))

    async def _hand_over(self) -> tuple[int, float]:
        """How many freezes it took, and how long the last one was."""
        await self._settle()
        await self._verify()
        for freeze in range(1, FREEZES_MAX + 1):
            await self._settle()
            seconds = await self._freeze()
            if seconds is not None:
                return freeze, seconds
            self._progress.say("too much was written shortly before: thawed, next try")
            await asyncio.sleep(_PAUSE_SECONDS)
        raise MoveFailed(
            f"{FREEZES_MAX} freezes of {FREEZE_SECONDS:g} seconds were not enough for what is being pushed; "
            "the registry serves as before: try at a quieter time"
        )

    async def _settle(self) -> None:
        """Copies what changed until there is little left. Under a load too heavy for that, the freezes tell."""
        for _ in range(_ROUNDS_MAX):
            started = time.monotonic()
            await self._round()
            if time.monotonic() - started < _SHORT_SECONDS:
                return

    async def _round(self) -> int:
        """Copies what changed since the last round; returns the number of the last change that it saw."""
        async with self._source.database.snapshot() as theirs:
            seen = await self._apply(theirs)
        await self._carry(Silent())
        await self._source.database.write(lambda tx: capture.forget(tx, seen))
        return seen

    async def _apply(self, theirs: Transaction) -> int:
        seen = await capture.latest(theirs)
        if seen:
            async with self._target.database.fill() as ours:
                for table in reversed(TABLES):
                    async for keys in _changed(theirs, table, seen):
                        await rows.drop(theirs, ours, table, keys)
                for table in TABLES:
                    async for keys in _changed(theirs, table, seen):
                        await rows.renew(theirs, ours, table, keys)
                        self._rows += len(keys)
        return seen

    async def _verify(self) -> None:
        """Row by row, against the very state that was copied last."""
        async with self._source.database.snapshot() as theirs:
            await self._apply(theirs)
            async with self._target.database.snapshot() as ours:
                found = await rows.differences(theirs, ours, self._progress)
        if found:
            raise MoveFailed(f"the copy is not the same: {', '.join(found)} rows differ")

    async def _carry(self, progress: Progress) -> None:
        blobs, size = await content.carry(self._source, self._target, progress)
        self._blobs += blobs
        self._bytes += size

    async def _freeze(self) -> float | None:
        """How long it was until the source had moved; None where that did not come in time."""
        started = time.monotonic()
        await self._source.database.write(
            lambda tx: moves.enter(tx, "frozen", self._places.target, seconds=FREEZE_SECONDS)
        )
        try:
            async with asyncio.timeout(_WORK_SECONDS):
                seen = await self._round()
                await self._compare_counts()
            if await self._source.database.write(lambda tx: self._leave(tx, seen)):
                return time.monotonic() - started
        except TimeoutError:
            pass
        await self._source.database.write(lambda tx: moves.leave(tx, "frozen"))
        return None

    async def _compare_counts(self) -> None:
        async with self._source.database.snapshot() as tx:
            theirs = await rows.counts(tx)
        ours = await self._target.database.read(rows.counts)
        awaited, _ = await self._target.database.read(copying.awaited)
        if ours != theirs or awaited:
            raise MoveFailed(f"the copy is not whole: {theirs} rows, but {ours} and {awaited} awaited blobs there")

    async def _leave(self, tx: Transaction, seen: int) -> bool:
        """Makes the source one that has moved, unless something was written since; whoever comes later is refused."""
        if await capture.latest(tx) > seen:
            return False
        await moves.enter(tx, "moved", self._places.target)
        await moves.leave(tx, "frozen")
        await capture.end(tx)
        return True


async def give_up(source: Side) -> None:
    """The source serves as if nobody had ever begun to move it."""

    async def give_up(tx: Transaction) -> None:
        if await moves.place(tx, "moved") is None:
            await moves.leave(tx, "frozen")
            await capture.end(tx)
            await capture.stop_guarding(tx)

    await source.database.write(give_up)


async def _changed(tx: Transaction, table: Table, upto: int) -> AsyncIterator[list[Key]]:
    after: int | None = 0
    while after is not None:
        keys, after = await capture.changed(tx, table, after=after, upto=upto, limit=_PAGE)
        if keys:
            yield keys
