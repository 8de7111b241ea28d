"""One worker's observability as one long-lived part: records of requests in, metrics and access log out."""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Self

from pierhead.asgi.types import Scope
from pierhead.observability import exposition
from pierhead.observability.access_log import AccessLog, Choice, is_worth_a_line
from pierhead.observability.instruments import Counter, Histogram, Instrument, Reading
from pierhead.observability.logs import Format
from pierhead.observability.metrics import Metrics
from pierhead.observability.requests import RequestRecord, RequestSums
from pierhead.observability.slots import Numbers, Slot

logger = logging.getLogger(__name__)

SHARING = 0.5  # seconds between two writes of this worker's numbers


class Observability:
    """`shared` is the directory of `slots.prepare`, the same for all workers; None where there is one process."""

    def __init__(
        self,
        *,
        access: Choice,
        format: Format,  # noqa: A002 -- the setting
        shared: Path | None,
        answers: bool = True,
    ) -> None:
        self.metrics = Metrics()
        self.metrics.workers.add(1 if answers else 0)
        self._sums = RequestSums(self.metrics)
        self._changes_only = access == "changes"
        self._log = None if access == "none" else AccessLog(format, self.metrics.log_dropped)
        self._shared = shared
        self._slot: Slot | None = None
        self._written: Numbers = {}
        self._prefix = os.urandom(6).hex()
        self._counter = count(1)
        # Parts that count on their own move their sums into the metrics when asked.
        self.folds: list[Callable[[], None]] = []
        # With tracing on, whoever traces finds the record of a request in its scope.
        self.traced = False

    async def __aenter__(self) -> Self:
        if self._shared:
            self._slot = Slot.take(self._shared)
            self._inherit(self._slot.inherited)
        if self._log:
            self._log.open()
        self._closing = asyncio.Event()
        self._sharing = asyncio.create_task(self._share_regularly())
        return self

    async def __aexit__(self, *_: object) -> None:
        # Never cancelled: a write may be under way in a thread, to files that close below.
        self._closing.set()
        await self._sharing
        if self._log:
            await self._log.close()
        if self._slot:
            await self._share(self._slot)
            self._slot.close()

    def new_request_id(self) -> str:
        return f"{self._prefix}-{next(self._counter):x}"

    def started(self, scope: Scope) -> RequestRecord:
        record = RequestRecord(scope, self.new_request_id)
        if self.traced:
            scope["pierhead.record"] = record
        return record

    def finished(self, record: RequestRecord) -> None:
        seconds = perf_counter() - record.started
        self._sums.add(record, seconds)
        if record.error:
            self.metrics.refusals.add(1, record.error)
        if self._log and (not self._changes_only or is_worth_a_line(record, seconds)):
            self._log.add(record, seconds)

    async def page(self, accept: str = "") -> tuple[bytes, str]:
        """The metrics of all workers as text, and its content type."""
        own = self._numbers(self.metrics.instruments())
        return await asyncio.to_thread(self._page, own, accept)

    def _page(self, own: Numbers, accept: str) -> tuple[bytes, str]:
        others = self._slot.others() if self._slot else []
        return exposition.text(self.metrics.instruments(), own, others, accept)

    def _numbers(self, instruments: Iterable[Instrument]) -> Numbers:
        self._sums.fold()
        for fold in self.folds:
            fold()
        return {instrument.name: instrument.copy() for instrument in instruments}

    def _inherit(self, numbers: Numbers) -> None:
        for instrument in self.metrics.instruments():
            if isinstance(instrument, Counter | Histogram):
                instrument.merge(numbers.get(instrument.name, {}))

    async def _share_regularly(self) -> None:
        while self._slot and not self._closing.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), SHARING)
            await self._share(self._slot)

    async def _share(self, slot: Slot) -> None:
        numbers = self._numbers(shared for shared in self.metrics.instruments() if not isinstance(shared, Reading))
        if numbers == self._written:
            return
        self._written = numbers
        try:
            # In a thread: while a disk is saturated, even a small write can take long.
            await asyncio.to_thread(slot.write, numbers)
        except OSError as error:
            logger.warning("the metrics of this worker cannot be shared with the others", extra={"reason": str(error)})
