"""Parts on their way to the service: which number each gets, and how many fly at once.

Rules
- A part number has one writer for ever. It is reserved in the session's row before a part goes out under it, and
  whoever takes the session over begins behind all that were reserved.
- An upload holds the part that gathers and at most two that fly; over all uploads of a worker so many fly as
  there are slots. Who has to wait for one takes no more bytes meanwhile.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from pierhead.blobs.objects import names, parts
from pierhead.blobs.objects.bucket import TakesParts
from pierhead.blobs.objects.gathering import Frame
from pierhead.blobs.objects.notes import Notes
from pierhead.blobs.store import Ledger
from pierhead.models import Part
from pierhead.threads import ended

_FLIGHTS = 2
# Above this size one flies at a time.
_LARGE = 16 * 1024 * 1024


class Sender:
    def __init__(
        self, bucket: TakesParts, upload_id: str, notes: Notes, *, ledger: Ledger, slots: asyncio.Semaphore
    ) -> None:
        self.notes = notes
        self.sent: list[Part] = []
        self._bucket = bucket
        self._upload_id = upload_id
        self._ledger = ledger
        self._slots = slots
        self._used = notes.reserved
        self._stride = 0
        # In the order of their numbers. One that failed stays, and fails all that follows.
        self._flights: deque[asyncio.Task[Part]] = deque()

    @property
    def begun(self) -> bool:
        return bool(self.notes.session)

    @property
    def part_size(self) -> int:
        return parts.size_of(self._used + 1, self._bucket.limits)

    @property
    def worth(self) -> int:
        return parts.worth(self._used + 1, self._bucket.limits)

    async def room(self, size: int) -> None:
        """Returns when a part may start, which the caller does at once."""
        await self._reserve()
        while len(self._flights) >= (_FLIGHTS if size <= _LARGE else 1):
            await self._land()
        await self._slots.acquire()

    def start(self, content: Sequence[Frame]) -> None:
        self._used += 1
        flight = asyncio.create_task(self._bucket.put_part(self.notes.key, self.notes.session, self._used, content))
        flight.add_done_callback(lambda _: self._slots.release())
        self._flights.append(flight)

    async def settle(self) -> None:
        """Returns when all parts are in the store."""
        while self._flights:
            await self._land()

    def orderly(self) -> Notes:
        """The notes of a writer that ends: numbers that it did not use are another's."""
        return replace(self.notes, reserved=self._used)

    async def close(self) -> None:
        for flight in self._flights:
            flight.cancel()
        for flight in self._flights:
            await ended(flight)

    async def _reserve(self) -> None:
        if self._used < self.notes.reserved:
            return
        self._stride = parts.next_stride(self._stride)
        notes = replace(self.notes, reserved=self._used + self._stride)
        if not self.begun:
            key = names.new_key(self._upload_id)
            notes = replace(notes, key=key, session=await self._bucket.begin(key))
        await self._ledger.note(notes.text())
        self.notes = notes

    async def _land(self) -> None:
        self.sent.append(await asyncio.shield(self._flights[0]))
        self._flights.popleft()
