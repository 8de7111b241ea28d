"""Takes jobs up and runs them, some at once, until it is told to stop.

Rules
- A look is a read: where nothing is due, or nothing is wanted, nothing is written.
- Told to stop, it takes nothing more up, waits for what runs, and gives back what does not end in time.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from pierhead.errors import PierheadError
from pierhead.jobs.attempt import SECOND, Attempt, Ended
from pierhead.jobs.kind import Kind, spread
from pierhead.metadata import jobs as rows
from pierhead.metadata.database import Database
from pierhead.settings import JobSettings

_ROUND_SECONDS = 15.0
_TROUBLE_SECONDS = 5.0

Counted = Callable[[Mapping[tuple[str, str], int]], None]  # (kind, state) -> jobs

log = logging.getLogger(__name__)


class Runner:
    def __init__(
        self,
        database: Database,
        kinds: Mapping[str, Kind],
        settings: JobSettings,
        *,
        ended: Ended = lambda *_: None,
        counted: Counted = lambda _: None,
    ) -> None:
        self._database = database
        self._kinds = kinds
        self._settings = settings
        self._ended = ended
        self._counted = counted
        self._worker = f"{socket.gethostname()}/{os.getpid()}"
        self._asked_at: dict[str, float] = {}  # kind -> when it was last found that there is nothing to do
        self._round_at = 0.0
        self._running: set[asyncio.Task[None]] = set()
        self._awake = asyncio.Event()
        self._patience: float | None = None  # until when what runs may go on; None: not asked to stop

    def stop(self, seconds: float) -> None:
        """What runs may go on for so long. Called again, the shorter time counts."""
        until = time.monotonic() + seconds
        self._patience = until if self._patience is None else min(self._patience, until)
        self._awake.set()

    async def run(self) -> None:
        """Returns once it was stopped and the outcome of all that ran is written."""
        async with asyncio.TaskGroup() as group:
            while self._patience is None:
                await self._pause(await self._looked(group))
            await self._drain()

    async def _looked(self, group: asyncio.TaskGroup) -> float:
        """Takes up what may be taken up, and returns in how many seconds another look is worth it."""
        try:
            if time.monotonic() >= self._round_at:
                await self._go_round()
            free = self._settings.concurrency - len(self._running)
            if free > 0 and await self._take_up(group, free) == free:
                return 0.0
        except PierheadError as error:
            log.warning("jobs cannot be looked for", extra={"reason": f"{type(error).__name__}: {error}"})
            return _TROUBLE_SECONDS
        return spread(self._settings.poll_seconds)

    async def _go_round(self) -> None:
        """Counts the jobs, and gives what runs again and again its row, also where somebody dropped it."""
        self._round_at = time.monotonic() + _ROUND_SECONDS
        scheduled = await self._database.read(rows.schedules)
        for kind in self._kinds.values():
            if kind.every is not None and kind.name not in scheduled:
                add = partial(rows.schedule, kind=kind.name, after=int(spread(kind.every) * SECOND))
                await self._database.write(add, durable=False)
            if kind.show is not None:
                await kind.show()
        self._counted(await self._database.read(rows.counts))

    async def _take_up(self, group: asyncio.TaskGroup, free: int) -> int:
        due = await self._database.read(partial(rows.due, kinds=self._kinds))
        kinds = [name for name, certain in due.items() if certain or await self._wanted(self._kinds[name])]
        if not kinds:
            return 0
        leased_at, lease = time.monotonic(), self._settings.lease_seconds
        claim = partial(rows.claim, kinds=kinds, worker=self._worker, lease=int(lease * SECOND), limit=free)
        jobs = await self._database.write(claim, durable=False)
        for job in jobs:
            attempt = Attempt(self._database, self._kinds[job.kind], job, lease=lease, leased_at=leased_at)
            task = group.create_task(attempt.run(self._ended))
            self._running.add(task)
            task.add_done_callback(self._over)
        return len(jobs)

    async def _wanted(self, kind: Kind) -> bool:
        """What had nothing to do is asked again after its ordinary time."""
        if kind.wanted is None:
            return True
        asked_at = self._asked_at.get(kind.name)
        if asked_at is not None and time.monotonic() - asked_at < (kind.every or 0.0):
            return False
        try:
            wanted = await kind.wanted()
        except Exception:  # noqa: BLE001  whatever it is
            return True  # the job will tell what is wrong, and holds up no other kind
        if not wanted:
            self._asked_at[kind.name] = time.monotonic()
        return wanted

    async def _pause(self, seconds: float) -> None:
        """Until the next look, or until a job ended and another one may have its place."""
        if self._patience is None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._awake.wait(), seconds)
            self._awake.clear()

    def _over(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._awake.set()

    async def _drain(self) -> None:
        while self._running:
            left = (self._patience or 0.0) - time.monotonic()
            if left <= 0:
                for task in self._running:
                    task.cancel()
                await asyncio.wait(self._running)
            else:
                self._awake.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._awake.wait(), left)
