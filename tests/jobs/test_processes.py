"""Jobs in several real processes that are killed, frozen and stopped."""

import asyncio
import os
import signal
from functools import partial
from pathlib import Path

import pytest

from pierhead.metadata import jobs
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.jobs import Job
from tests.jobs.conftest import Start, eventually
from tests.jobs.kinds import Diary

pytestmark = pytest.mark.anyio


async def ask(database: Database, kind: str, key: str, **arguments: object) -> int:
    return await database.write(partial(jobs.enqueue, kind=kind, key=key, arguments=arguments))


async def all_of(database: Database) -> list[Job]:
    return await database.read(partial(jobs.page, limit=10_000))


async def until(database: Database, state: str, jobs_: int = 1) -> list[Job]:
    """The jobs, once so many are in a state."""
    for _ in range(1500):
        found = [job for job in await all_of(database) if job.state == state]
        if len(found) == jobs_:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(await all_of(database))


async def began(diary: Diary, times: int = 1) -> None:
    await asyncio.to_thread(eventually, lambda: len(diary.lines("began")) >= times)


async def test_the_job_of_a_killed_process_is_taken_over_once_its_lease_is_over(
    database: Database, diary: Diary, start: Start
) -> None:
    await ask(database, "sleep", "a", seconds=3)
    first = start("sleep")
    await began(diary)
    first.kill()
    second = start("sleep")

    [job] = await until(database, "done")
    assert job.attempts == 2
    assert diary.lines("began") == [f"began a {first.pid}", f"began a {second.pid}"]
    assert diary.lines("ended") == [f"ended a {second.pid}"]


async def test_a_frozen_process_that_wakes_up_cannot_write_an_outcome(
    database: Database, diary: Diary, start: Start, log: Path
) -> None:
    await ask(database, "sleep", "a", seconds=2)
    frozen = start("sleep")
    await began(diary)
    os.kill(frozen.pid, signal.SIGSTOP)
    other = start("sleep")
    await began(diary, times=2)
    os.kill(frozen.pid, signal.SIGCONT)
    await asyncio.to_thread(eventually, lambda: b"job lost" in log.read_bytes())

    [job] = await until(database, "done")
    assert job.attempts == 2
    assert f"ended a {other.pid}" in diary.lines("ended")


async def test_a_stopped_process_gives_back_what_does_not_end_in_time(
    database: Database, diary: Diary, start: Start
) -> None:
    await ask(database, "sleep", "a", seconds=60)
    process = start("sleep")
    await began(diary)
    process.terminate()

    assert process.wait(10) == 0
    [job] = await all_of(database)
    assert (job.state, job.attempts, job.worker) == ("waiting", 0, None)


async def test_a_stopped_process_writes_the_outcome_of_what_ends_in_time(
    database: Database, diary: Diary, start: Start
) -> None:
    await ask(database, "sleep", "a", seconds=0.4)
    await ask(database, "sleep", "b", seconds=60)
    process = start("sleep")
    await began(diary, times=2)
    process.terminate()

    assert process.wait(10) == 0
    assert sorted((job.key, job.state) for job in await all_of(database)) == [("a", "done"), ("b", "waiting")]


async def test_a_process_that_does_not_know_a_kind_leaves_it(database: Database, diary: Diary, start: Start) -> None:
    await ask(database, "note", "a")
    await ask(database, "sleep", "b", seconds=0)
    start("sleep")

    [job] = await until(database, "done")
    assert job.kind == "sleep"
    assert diary.lines("noted") == []


async def test_thousands_of_jobs_are_done_once_each_by_four_processes(
    database: Database, diary: Diary, start: Start
) -> None:
    async def ask_many(tx: Transaction) -> None:
        for number in range(2000):
            await jobs.enqueue(tx, "note", str(number))

    processes = [start("note") for _ in range(4)]
    await database.write(ask_many)
    await until(database, "done", 2000)

    keys = [line.split()[1] for line in diary.lines("noted")]
    assert sorted(keys, key=int) == [str(number) for number in range(2000)]
    assert {int(line.split()[2]) for line in diary.lines("noted")} == {process.pid for process in processes}


async def test_a_schedule_runs_once_in_its_time_for_all_processes(
    database: Database, diary: Diary, start: Start
) -> None:
    for _ in range(3):
        start("tick")
    await asyncio.to_thread(eventually, lambda: diary.lines("noted"))
    before = len(diary.lines("noted"))
    await asyncio.sleep(5)

    # Every half second, a quarter more or less, and until somebody looks.
    assert 5 <= len(diary.lines("noted")) - before <= 13
    [job] = await all_of(database)
    assert job.kind == "tick"
