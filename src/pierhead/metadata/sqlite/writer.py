"""The one thread of a process that writes, and the grouping of what waits for it.

While one group is being synced the next one gathers, so that a sync is shared by all that
arrived meanwhile. Each operation has a savepoint: one that fails takes nobody with it.
Who waits too long for a group to begin (another process holds the database) is told so, and
its operation is then never run: "failed" may not become "done" later.
"""

import asyncio
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from pierhead.errors import Busy, MetadataUnavailable
from pierhead.metadata.database import Commit, Operation
from pierhead.metadata.sqlite import engine
from pierhead.metadata.sqlite.log import Log
from pierhead.metadata.sqlite.transaction import SqliteTransaction, complete
from pierhead.metadata.sqlite.turns import Turns

GROUP_MAX = 128
WAITING_MAX = 10_000
WAITING_SECONDS = 30.0
_WATCH_SECONDS = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    operation: Operation[Any]
    durable: bool
    outcome: "asyncio.Future[Any]"
    asked_at: float  # monotonic


class Writer:
    """Lives from its making to `close`, on the event loop that it was made on."""

    def __init__(self, path: Path, observe: Callable[[Commit], None]) -> None:
        self._observe = observe
        self._connection = engine.connect(path)
        self._turns = Turns(path.parent)
        self._log = Log(path, self._connection)
        self._numbers = itertools.count()
        self._queue: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        # Whoever takes a job out of here decides on it: the thread runs it, or the loop gives it up.
        self._waiting: dict[int, Job] = {}
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._watch = self._loop.call_later(_WATCH_SECONDS, self._give_up)
        self._thread = threading.Thread(target=self._run, name="pierhead-writer", daemon=True)
        self._thread.start()

    def submit(self, operation: Operation[Any], *, durable: bool) -> "asyncio.Future[Any]":
        if self._closed:
            raise MetadataUnavailable("the database is closed")
        if len(self._waiting) >= WAITING_MAX:
            raise Busy("too many writes are waiting")
        number = next(self._numbers)
        outcome: asyncio.Future[Any] = self._loop.create_future()
        self._waiting[number] = Job(operation, durable, outcome, time.monotonic())
        self._queue.put(number)
        return outcome

    def close(self) -> None:
        """Returns when all that was submitted is written."""
        self._closed = True
        self._watch.cancel()
        self._queue.put(None)
        self._thread.join()
        self._connection.close()
        self._turns.close()

    def _run(self) -> None:
        open_ = True
        while open_:
            numbers = [self._queue.get()]
            while len(numbers) < GROUP_MAX and not self._queue.empty():
                numbers.append(self._queue.get())
            open_ = None not in numbers
            try:
                self._write([number for number in numbers if number is not None])
            except Exception:  # the thread has to outlive whatever it is
                log.exception("the outcome of a commit could not be told")

    def _write(self, numbers: list[int]) -> None:
        group: list[Job] = []
        try:
            with engine.translated(self._connection), self._turns.mine():
                self._log.settle()
                started = time.perf_counter()
                group = self._claim(numbers)
                durable = any(job.durable for job in group)
                with self._log.doubted():
                    outcomes = _transact(self._connection, group, durable=durable) if group else []
                seconds = time.perf_counter() - started
                self._log.keep()
        except Exception as error:  # noqa: BLE001  whatever it is, those who wait are told
            self._tell([(job, None, error) for job in group or self._claim(numbers)])
            return
        try:
            if group:
                self._observe(Commit(len(group), durable, seconds))
        finally:
            self._tell(outcomes)

    def _claim(self, numbers: list[int]) -> list[Job]:
        """The jobs among these that nobody gave up: neither the watch nor the one who asked."""
        claimed = [self._waiting.pop(number, None) for number in numbers]
        return [job for job in claimed if job is not None and not job.outcome.cancelled()]

    def _tell(self, outcomes: "list[Outcome]") -> None:
        self._loop.call_soon_threadsafe(_tell, outcomes)

    def _give_up(self) -> None:
        """Those who have waited too long are told, oldest first."""
        latest = time.monotonic() - WAITING_SECONDS
        for number, job in list(self._waiting.items()):
            if job.asked_at > latest:
                break
            if self._waiting.pop(number, None) is not None and not job.outcome.done():
                job.outcome.set_exception(MetadataUnavailable("another process has held the database for too long"))
        self._watch = self._loop.call_later(_WATCH_SECONDS, self._give_up)


Outcome = tuple[Job, Any, BaseException | None]


def _transact(connection: apsw.Connection, group: list[Job], *, durable: bool) -> list[Outcome]:
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    connection.execute("BEGIN IMMEDIATE")
    try:
        outcomes = [_attempt(connection, job) for job in group]
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return outcomes


def _attempt(connection: apsw.Connection, job: Job) -> Outcome:
    connection.execute("SAVEPOINT operation")
    try:
        result = complete(job.operation(SqliteTransaction(connection)))
    except engine.FATAL:
        raise  # these end the whole transaction
    except Exception as error:  # noqa: BLE001  it belongs to the one who asked
        connection.execute("ROLLBACK TO operation")
        connection.execute("RELEASE operation")
        return job, None, error
    connection.execute("RELEASE operation")
    return job, result, None


def _tell(outcomes: list[Outcome]) -> None:
    for job, result, error in outcomes:
        if job.outcome.done():
            continue  # the one who asked has gone
        if error is None:
            job.outcome.set_result(result)
        else:
            job.outcome.set_exception(error)
