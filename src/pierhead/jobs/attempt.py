"""One attempt at a job, from its lease to its outcome."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Literal

from pierhead.errors import PierheadError, Unavailable
from pierhead.jobs.kind import Kind, spread
from pierhead.metadata import jobs as rows
from pierhead.metadata.database import Database, Operation
from pierhead.metadata.jobs import Job
from pierhead.threads import ended, finished

SECOND = 1_000_000  # microseconds
_ERROR_LENGTH = 1000  # characters
_TELLING_SECONDS = 1.0  # between two tries to write an outcome

log = logging.getLogger(__name__)

Word = Literal["done", "failed", "dead", "given back", "lost"]
Ended = Callable[[str, str, float], None]  # kind, outcome, seconds


@dataclass(frozen=True, slots=True)
class Outcome:
    word: Word
    error: BaseException | None = None

    @property
    def text(self) -> str:
        text = f"{type(self.error).__name__}: {self.error}"[:_ERROR_LENGTH]
        # Whatever it holds, a database must take it, or it would end who runs the job, again and again.
        return text.encode("utf-8", "backslashreplace").decode().replace("\0", r"\x00")


class Attempt:
    """`leased_at` is when the lease was asked for, by this process's monotonic clock."""

    def __init__(self, database: Database, kind: Kind, job: Job, *, lease: float, leased_at: float) -> None:
        self._database = database
        self._kind = kind
        self._job = job
        self._lease = lease  # seconds
        self._ends_at = leased_at + lease

    async def run(self, observe: Ended) -> None:
        """Returns when the outcome is written. Cancelled, it gives the job back first."""
        started = time.monotonic()
        outcome = await self._outcome()
        with suppress(asyncio.CancelledError):  # however often: it ends at once after this
            outcome = await finished(asyncio.ensure_future(self._tell(outcome)))
        seconds = time.monotonic() - started
        observe(self._job.kind, outcome.word, seconds)
        _report(self._job, outcome, seconds)

    async def _outcome(self) -> Outcome:
        if self._kind.every is None and self._job.attempts > self._kind.attempts:
            return Outcome("dead", RuntimeError("every process that took it up came to an end"))
        work = asyncio.ensure_future(self._kind.perform(self._job))
        try:
            if not await self._watched(work):
                return Outcome("lost")
        except asyncio.CancelledError:
            await _cancelled(work)
            if work.cancelled():
                return Outcome("given back")
        return self._judged(RuntimeError("it was cancelled") if work.cancelled() else work.exception())

    def _judged(self, error: BaseException | None) -> Outcome:
        if error is None:
            return Outcome("done")
        return Outcome("dead" if self._kind.gives_up(self._job) else "failed", error)

    async def _watched(self, work: "asyncio.Future[None]") -> bool:
        """Waits for the end of the work, and keeps the lease meanwhile; False where it was lost."""
        while True:
            await asyncio.wait([work], timeout=self._lease / 3)
            if work.done():
                return True
            if not await self._renewed():
                await _cancelled(work)
                return False

    async def _renewed(self) -> bool:
        asked_at = time.monotonic()
        renew = partial(rows.renew, job=self._job, lease=int(self._lease * SECOND))
        try:
            async with asyncio.timeout(max(0.0, self._ends_at - asked_at)):
                kept = await self._database.write(renew, durable=False)
        except (PierheadError, TimeoutError):
            # As long as it lasts, nobody else has the job.
            return time.monotonic() < self._ends_at
        self._ends_at = asked_at + self._lease
        return kept

    async def _tell(self, outcome: Outcome) -> Outcome:
        """Writes an outcome, again and again while the database is away and the job is ours."""
        operation = self._operation(outcome)
        while operation is not None:
            try:
                kept = await self._database.write(operation, durable=False)
                return outcome if kept else Outcome("lost")
            except Unavailable:
                if time.monotonic() + _TELLING_SECONDS >= self._ends_at:
                    log.exception("the outcome of a job could not be written: another worker does it again")
                    return Outcome("lost")
            await asyncio.sleep(_TELLING_SECONDS)
        return outcome

    def _operation(self, outcome: Outcome) -> Operation[bool] | None:
        job, kind = self._job, self._kind
        match outcome.word:
            case "done" if kind.every is not None:
                return partial(rows.finish_until, job=job, after=int(spread(kind.every) * SECOND))
            case "done":
                return partial(rows.finish, job=job)
            case "failed":
                return partial(rows.fail, job=job, error=outcome.text, after=int(kind.pause(job) * SECOND))
            case "dead":
                return partial(rows.bury, job=job, error=outcome.text)
            case "given back":
                return partial(rows.give_back, job=job)
            case "lost":
                return None


async def _cancelled(work: "asyncio.Future[None]") -> None:
    """Ends the work, unless it ends by itself just now."""
    work.cancel()
    with suppress(asyncio.CancelledError):
        await ended(work)


def _report(job: Job, outcome: Outcome, seconds: float) -> None:
    fields = {"job": job.id, "kind": job.kind, "key": job.key, "attempt": job.attempts, "seconds": round(seconds, 3)}
    match outcome.word:
        case "done" | "given back":
            log.info("job %s", outcome.word, extra=fields)
        case "lost":
            log.warning("job lost: its outcome is not ours to write", extra=fields)
        case "failed" | "dead":
            level = logging.ERROR if outcome.word == "dead" else logging.WARNING
            trace = None if isinstance(outcome.error, PierheadError) else outcome.error
            log.log(level, "job %s: %s", outcome.word, outcome.text, extra=fields, exc_info=trace)
