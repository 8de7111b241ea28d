"""What is noted now and written a moment later: pulls, sign-ins and refusals.

Rules
- To note costs a few microseconds and never waits or fails, whatever the database does.
- What waits is bounded. What does not fit is dropped, counted, and told by an event of its own.
- The same again from the same place is told at once the first time, and then once a minute with how often: whoever
  tries passwords for days does not fill the disk.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace

from pierhead.errors import PierheadError
from pierhead.metadata import events as rows
from pierhead.metadata.database import Database
from pierhead.metadata.events import Note, monotonic
from pierhead.models import Actor
from pierhead.threads import finished

_MINUTE = 60_000_000  # microseconds
_BATCH = 500
_PAUSE_SECONDS = 1.0
_TROUBLE_SECONDS = 5.0
_LAST_SECONDS = 5.0
_OTHERS = Actor("(others)")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Window:
    first: Note
    again: int = 0


class Repeats:
    """What came within the last minute, and how often again."""

    def __init__(self, most: int) -> None:
        self._most = most  # told one by one
        self._open: OrderedDict[Hashable, _Window] = OrderedDict()
        self._beyond: _Window | None = None

    def take(self, key: Hashable, note: Note) -> Note | None:
        """The note, where it is to be told at once."""
        window = self._open.get(key)
        if window is not None and note.noted - window.first.noted < _MINUTE:
            window.again += 1
            return None
        if window is None and len(self._open) >= self._most:
            self._beyond = self._beyond or _Window(replace(note, actor=_OTHERS, subject=None, repository=None))
            self._beyond.again += 1
            return None
        ended = self._ended(self._open.pop(key, None))
        self._open[key] = _Window(note)
        return replace(note, details={**(note.details or {}), **(ended.details or {})}) if ended else note

    def due(self, *, everything: bool = False) -> Iterator[Note]:
        """What ended, with how often it came."""
        now = monotonic()
        while self._open:
            key, window = next(iter(self._open.items()))
            if not everything and now - window.first.noted < _MINUTE:
                break
            del self._open[key]
            if (note := self._ended(window)) is not None:
                yield note
        if self._beyond and (everything or now - self._beyond.first.noted >= _MINUTE):
            beyond, self._beyond = self._beyond, None
            if (note := self._ended(beyond)) is not None:
                yield note

    def _ended(self, window: _Window | None) -> Note | None:
        if window is None or not window.again:
            return None
        return replace(window.first, noted=monotonic(), details={**(window.first.details or {}), "again": window.again})


class Notes:
    def __init__(
        self, database: Database, *, limit: int, refusals: int, dropped: Callable[[int], None] = lambda _: None
    ) -> None:
        self._database = database
        self._limit = limit
        self._observe = dropped
        self._waiting: deque[Note] = deque()
        self._full = asyncio.Event()
        self._dropped = 0
        self.refusals = Repeats(refusals)
        self.sign_ins = Repeats(limit)

    def add(self, note: Note | None) -> None:
        if note is None:
            return
        if len(self._waiting) >= self._limit:
            self._drop(1)
            return
        self._waiting.append(note)
        if len(self._waiting) >= _BATCH:
            self._full.set()

    async def run(self) -> None:
        """Writes for ever; cancelled, it writes what is left, for a few seconds at most."""
        try:
            while True:
                try:
                    async with asyncio.timeout(_PAUSE_SECONDS):
                        await self._full.wait()
                except TimeoutError:
                    pass
                self._full.clear()
                if not await self.write():
                    await asyncio.sleep(_TROUBLE_SECONDS)
        finally:
            try:
                async with asyncio.timeout(_LAST_SECONDS):
                    await self.write(everything=True)
            except TimeoutError:
                log.warning("%d events were not written at the end", len(self._waiting))

    async def write(self, *, everything: bool = False) -> bool:
        """Writes what waits; False where the database does not take it now."""
        for repeats in (self.refusals, self.sign_ins):
            for note in repeats.due(everything=everything):
                self.add(note)
        while self._waiting or self._dropped:
            if not await self._write_some():
                return False
        return True

    async def _write_some(self) -> bool:
        batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
        told, self._dropped = self._dropped, 0
        notes = [*batch, *_told(told)]

        async def write() -> None:
            await self._database.write(lambda tx: rows.record_notes(tx, notes), durable=False)

        writing = asyncio.ensure_future(write())
        try:
            await finished(writing)
        except asyncio.CancelledError:
            if writing.exception() is not None:
                self._put_back(batch, told)
            raise
        except PierheadError as error:
            log.warning("events wait, as they cannot be written: %s", error)
            self._put_back(batch, told)
            return False
        except Exception:
            log.exception("%d events could not be written", len(batch))
            self._drop(len(batch))
            self._dropped += told
            return False
        return True

    def _put_back(self, batch: list[Note], dropped: int) -> None:
        self._waiting.extendleft(reversed(batch))
        self._dropped += dropped

    def _drop(self, count: int) -> None:
        self._dropped += count
        self._observe(count)


def _told(dropped: int) -> list[Note]:
    if not dropped:
        return []
    return [Note("audit.dropped", Actor("pierhead", credential="local"), monotonic(), details={"count": dropped})]
