"""The one thread of a process that writes, and the grouping of what waits for it.

While one group is being synced the next one gathers, so that a sync is shared by all that
arrived meanwhile. Each operation has a savepoint: one that fails takes nobody with it.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from pierhead.errors import Busy
from pierhead.metadata.database import Operation
from pierhead.metadata.sqlite import engine
from pierhead.metadata.sqlite.transaction import SqliteTransaction, complete
from pierhead.metadata.sqlite.turns import Turns

GROUP_MAX = 128
WAITING_MAX = 10_000
LOG_MAX_BYTES = 64 * 1024 * 1024

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    operation: Operation[Any]
    durable: bool
    outcome: "asyncio.Future[Any]"


@dataclass(frozen=True, slots=True)
class Commit:
    """What a commit of a group was like."""

    operations: int
    durable: bool
    seconds: float


class Writer:
    def __init__(self, path: Path, observe: Callable[[Commit], None]) -> None:
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._observe = observe
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="pierhead-writer", daemon=True)
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def submit(self, operation: Operation[Any], *, durable: bool) -> "asyncio.Future[Any]":
        if self._jobs.qsize() > WAITING_MAX:
            raise Busy("too many writes are waiting")
        outcome: asyncio.Future[Any] = self._loop.create_future()
        self._jobs.put(Job(operation, durable, outcome))
        return outcome

    def close(self) -> None:
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        connection = engine.connect(self._path)
        turns = Turns(self._path.parent)
        while (job := self._jobs.get()) is not None:
            group = [job]
            while len(group) < GROUP_MAX and not self._jobs.empty():
                following = self._jobs.get()
                if following is None:
                    self._jobs.put(None)
                    break
                group.append(following)
            self._commit(connection, turns, group)
        connection.close()
        turns.close()

    def _commit(self, connection: apsw.Connection, turns: Turns, group: list[Job]) -> None:
        started = time.perf_counter()
        durable = any(job.durable for job in group)
        try:
            with engine.translated(), turns.mine():
                connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                outcomes = _transact(connection, group)
                self._bound_log(connection)
        except Exception as error:  # noqa: BLE001  whatever it is, those who wait are told
            outcomes = [(job, None, error) for job in group]
        else:
            self._observe(Commit(len(group), durable, time.perf_counter() - started))
        self._loop.call_soon_threadsafe(_tell, outcomes)

    def _bound_log(self, connection: apsw.Connection) -> None:
        """Starts the log anew where ordinary checkpoints did not get to do so."""
        size = self._log.stat().st_size
        if size <= LOG_MAX_BYTES:
            return
        connection.set_busy_timeout(0)
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except apsw.BusyError:
            log.info("the database's log could not be truncated while it is read", extra={"bytes": size})
        finally:
            connection.set_busy_timeout(engine.BUSY_MILLISECONDS)


Outcome = tuple[Job, Any, BaseException | None]


def _transact(connection: apsw.Connection, group: list[Job]) -> list[Outcome]:
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
    except (apsw.FullError, apsw.IOError, apsw.CorruptError):
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
