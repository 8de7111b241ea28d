"""Rows of background work. Every moment is the database's: nodes may disagree about the time.

Who takes a job up gets a lease, and writes its outcome under that lease only: once another one
took the job over, nothing that the first one says of it counts.
"""

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pierhead.metadata.database import Row, Transaction, Value

State = Literal["waiting", "running", "done", "dead"]

_COLUMNS = "id, kind, key, arguments, state, due_at, attempts, lease, worker, error, created_at, finished_at"
_UNFINISHED = "state IN ('waiting', 'running')"
_DUE = f"{_UNFINISHED} AND due_at <= clock_us()"
_HELD = "id = :id AND lease = :lease"
_FREE = "lease = NULL, worker = NULL"


@dataclass(frozen=True, slots=True)
class Job:
    id: int
    kind: str
    key: str  # what it is about; empty where the kind says it all
    arguments: Mapping[str, Any] = field(repr=False)
    state: State
    due_at: int  # when it shall run, or its lease ends; microseconds since 1970
    attempts: int  # with the one that runs
    lease: str | None = field(repr=False)
    worker: str | None
    error: str | None
    created_at: int
    finished_at: int | None


def _job(row: Row) -> Job:
    identity, kind, key, arguments, *rest = row
    return Job(identity, kind, key, json.loads(arguments), *rest)


# Asking for work


async def enqueue(tx: Transaction, kind: str, key: str = "", arguments: Mapping[str, Any] | None = None) -> int:
    """Asks for a job as soon as may be, and returns its id.

    Where one of that kind and key waits, it serves both who asked; one that runs will run once more, since it may
    have looked before this transaction. Its row is locked till then, so that it cannot be taken up in between.
    """
    row = await tx.fetch_one(
        """
        INSERT INTO jobs (kind, key, arguments, state, due_at, asked, attempts, created_at)
        VALUES (:kind, :key, :arguments, 'waiting', clock_us(), 1, 0, clock_us())
            ON CONFLICT (kind, key) WHERE state IN ('waiting', 'running')
            DO UPDATE
           SET asked = 1,
               arguments = excluded.arguments,
               due_at = CASE WHEN jobs.state = 'waiting' AND jobs.attempts = 0 THEN excluded.due_at
                             ELSE jobs.due_at END
        RETURNING id
        """,
        kind=kind,
        key=key,
        arguments=json.dumps(arguments or {}),
    )
    assert row is not None  # noqa: S101  an INSERT that returns has a row
    made: int = row[0]
    return made


async def schedules(tx: Transaction) -> list[str]:
    """The kinds that run again and again, as far as a process has known them."""
    rows = await tx.fetch_all(f"SELECT kind FROM jobs WHERE key = '' AND {_UNFINISHED} ORDER BY kind")
    return [kind for (kind,) in rows]


async def schedule(tx: Transaction, kind: str, *, after: int) -> None:
    """Makes the one job of a kind that runs again and again, where there is none; `after` in microseconds."""
    await tx.execute(
        """
        INSERT INTO jobs (kind, key, arguments, state, due_at, asked, attempts, created_at)
        VALUES (:kind, '', '{}', 'waiting', clock_us() + :after, 0, 0, clock_us())
            ON CONFLICT (kind, key) WHERE state IN ('waiting', 'running') DO NOTHING
        """,
        kind=kind,
        after=after,
    )


# Doing it


async def due(tx: Transaction, kinds: Iterable[str]) -> dict[str, bool]:
    """The kinds, of these, that have jobs to take up; true where somebody asked, or its worker is gone."""
    names, parameters = _list(kinds)
    rows = await tx.fetch_all(
        f"""
        SELECT kind, max(CASE WHEN asked = 1 OR attempts > 0 THEN 1 ELSE 0 END)
          FROM jobs WHERE {_DUE} AND kind IN ({names})
         GROUP BY kind
        """,
        **parameters,
    )
    return {kind: bool(certain) for kind, certain in rows}


async def claim(tx: Transaction, kinds: Iterable[str], *, worker: str, lease: int, limit: int) -> list[Job]:
    """Takes up jobs of these kinds, the longest due first, for so many microseconds each."""
    names, parameters = _list(kinds)
    rows = await tx.fetch_all(
        f"""
        WITH taken AS MATERIALIZED (  -- chosen once: a planner may ask a subquery again, which then finds others
            SELECT id FROM jobs WHERE {_DUE} AND kind IN ({names}) ORDER BY due_at LIMIT :limit
            /*! FOR UPDATE SKIP LOCKED */
        )
        UPDATE jobs
           SET state = 'running', due_at = clock_us() + :microseconds, asked = 0, attempts = attempts + 1,
               lease = :lease, worker = :worker
         WHERE id IN (SELECT id FROM taken)
        RETURNING {_COLUMNS}
        """,
        microseconds=lease,
        lease=secrets.token_hex(16),
        worker=worker,
        limit=limit,
        **parameters,
    )
    return [_job(row) for row in rows]


async def renew(tx: Transaction, job: Job, *, lease: int) -> bool:
    """Keeps a job for so many microseconds from now; False where it was taken over."""
    return await _change(
        tx, job, f"UPDATE jobs SET due_at = clock_us() + :lease_length WHERE {_HELD}", lease_length=lease
    )


async def finish(tx: Transaction, job: Job) -> bool:
    """It is done, or waits again where somebody asked meanwhile. False where it was taken over, as in all below."""
    return await _change(
        tx,
        job,
        f"""
        UPDATE jobs
           SET state = CASE WHEN asked = 1 THEN 'waiting' ELSE 'done' END,
               attempts = CASE WHEN asked = 1 THEN 0 ELSE attempts END,
               due_at = clock_us(), finished_at = clock_us(), error = NULL, {_FREE}
         WHERE {_HELD}
        """,
    )


async def finish_until(tx: Transaction, job: Job, *, after: int) -> bool:
    """It is done for now, and waits for its next time, in so many microseconds or once somebody asks."""
    return await _change(
        tx,
        job,
        f"""
        UPDATE jobs
           SET state = 'waiting', due_at = CASE WHEN asked = 1 THEN clock_us() ELSE clock_us() + :after END,
               attempts = 0, finished_at = clock_us(), error = NULL, {_FREE}
         WHERE {_HELD}
        """,
        after=after,
    )


async def fail(tx: Transaction, job: Job, *, error: str, after: int) -> bool:
    """It failed, and waits for its next attempt."""
    return await _change(
        tx,
        job,
        f"UPDATE jobs SET state = 'waiting', due_at = clock_us() + :after, error = :error, {_FREE} WHERE {_HELD}",
        error=error,
        after=after,
    )


async def bury(tx: Transaction, job: Job, *, error: str) -> bool:
    """It failed for the last time, and stays for people to see; or begins anew where somebody asked meanwhile."""
    return await _change(
        tx,
        job,
        f"""
        UPDATE jobs
           SET state = CASE WHEN asked = 1 THEN 'waiting' ELSE 'dead' END,
               attempts = CASE WHEN asked = 1 THEN 0 ELSE attempts END,
               due_at = clock_us(), finished_at = clock_us(), error = :error, {_FREE}
         WHERE {_HELD}
        """,
        error=error,
    )


async def give_back(tx: Transaction, job: Job) -> bool:
    """It was not done, through no fault of its own: another process may take it up at once."""
    return await _change(
        tx,
        job,
        f"""
        UPDATE jobs SET state = 'waiting', due_at = clock_us(), asked = 1, attempts = attempts - 1, {_FREE}
         WHERE {_HELD}
        """,
    )


async def _change(tx: Transaction, job: Job, sql: str, **parameters: Value) -> bool:
    return await tx.execute(sql, id=job.id, lease=job.lease, **parameters) > 0


def _list(kinds: Iterable[str]) -> tuple[str, dict[str, Value]]:
    parameters: dict[str, Value] = {f"kind_{number}": kind for number, kind in enumerate(kinds)}
    return ", ".join(f":{name}" for name in parameters) or "NULL", parameters


# Looking at it


async def page(tx: Transaction, *, state: State | None = None, before: int | None = None, limit: int) -> list[Job]:
    """Jobs, the latest first, of one state or of all; `before` is the last id of the page before."""
    clauses = ["state = :state"] * (state is not None) + ["id < :before"] * (before is not None)
    given = {"state": state, "before": before}
    rows = await tx.fetch_all(
        f"SELECT {_COLUMNS} FROM jobs WHERE {' AND '.join(clauses) or '1 = 1'} ORDER BY id DESC LIMIT :limit",
        limit=limit,
        **{name: value for name, value in given.items() if value is not None},
    )
    return [_job(row) for row in rows]


async def counts(tx: Transaction) -> dict[tuple[str, str], int]:
    """How many jobs are not done, by kind and state."""
    rows = await tx.fetch_all(
        "SELECT kind, state, count(*) FROM jobs WHERE state IN ('waiting', 'running', 'dead') GROUP BY kind, state"
    )
    return {(kind, state): number for kind, state, number in rows}


async def retry(tx: Transaction, job_id: int) -> bool:
    """Lets a dead job, or one that waits for its next attempt, run now; False where there is none of that id."""
    row = await tx.fetch_one("SELECT kind, key, state FROM jobs WHERE id = :id", id=job_id)
    if row is None or row[2] not in ("waiting", "dead"):
        return False
    if row[2] == "dead" and await _follow(tx, job_id, kind=row[0], key=row[1]):
        return True
    await tx.execute(
        """
        UPDATE jobs SET state = 'waiting', due_at = clock_us(), asked = 1, attempts = 0, finished_at = NULL
         WHERE id = :id AND state IN ('waiting', 'dead')
        """,
        id=job_id,
    )
    return True


async def _follow(tx: Transaction, dead: int, *, kind: str, key: str) -> bool:
    """Leaves the work of a dead job to a later one of the same kind and key, where there is one."""
    later = await tx.execute(
        f"UPDATE jobs SET asked = 1 WHERE kind = :kind AND key = :key AND {_UNFINISHED}", kind=kind, key=key
    )
    if later:
        await tx.execute("DELETE FROM jobs WHERE id = :id", id=dead)
    return later > 0


async def drop(tx: Transaction, job_id: int) -> bool:
    """Forgets a job, unless it runs; False where there is none such."""
    return await tx.execute("DELETE FROM jobs WHERE id = :id AND state <> 'running'", id=job_id) > 0


async def retry_dead(tx: Transaction) -> int:
    """Lets every dead job run now, and returns how many those are."""
    found = await tx.fetch_all("SELECT id FROM jobs WHERE state = 'dead' ORDER BY id")
    return sum([await retry(tx, number) for (number,) in found])


async def any_old(tx: Transaction, *, age: int) -> bool:
    """Whether a job was done longer ago than so many microseconds."""
    row = await tx.fetch_one(
        "SELECT 1 FROM jobs WHERE state = 'done' AND finished_at < clock_us() - :age LIMIT 1", age=age
    )
    return row is not None


async def forget(tx: Transaction, *, age: int, limit: int) -> int:
    """Removes some jobs that were done longer ago than so many microseconds, and returns how many."""
    return await tx.execute(
        """
        DELETE FROM jobs
         WHERE id IN (SELECT id FROM jobs WHERE state = 'done' AND finished_at < clock_us() - :age LIMIT :limit)
        """,
        age=age,
        limit=limit,
    )
