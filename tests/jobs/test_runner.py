"""Running jobs in one process, on every database."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from pierhead.errors import MetadataUnavailable, StorageFailed
from pierhead.jobs.kind import Kind
from pierhead.jobs.runner import Runner
from pierhead.metadata import jobs
from pierhead.metadata.database import Commit, Database
from pierhead.metadata.jobs import Job
from pierhead.settings import JobSettings
from tests.contracts.database import Place
from tests.jobs.kinds import FAST, Diary

pytestmark = pytest.mark.anyio

QUICK = JobSettings.model_construct(concurrency=4, poll_seconds=0.02, lease_seconds=0.6, keep_hours=1)


async def nothing(_: Job) -> None:
    pass


async def ask(database: Database, kind: str, key: str = "", **arguments: object) -> int:
    return await database.write(partial(jobs.enqueue, kind=kind, key=key, arguments=arguments))


async def jobs_in(database: Database, state: Any = None) -> list[Job]:
    return await database.read(partial(jobs.page, limit=1000, state=state))


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110  a row tells nobody that it changed
            await asyncio.sleep(0.01)


@dataclass
class Heard:
    """What a runner tells of what it does."""

    ended: list[tuple[str, str]] = field(default_factory=list)
    counts: dict[tuple[str, str], int] = field(default_factory=dict)

    def end(self, kind: str, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self.ended.append((kind, outcome))


@asynccontextmanager
async def running(
    database: Database, *kinds: Kind, settings: JobSettings = QUICK, heard: Heard | None = None
) -> AsyncIterator[Runner]:
    heard = heard or Heard()
    known = {kind.name: kind for kind in kinds}
    runner = Runner(database, known, settings, ended=heard.end, counted=heard.counts.update)
    task = asyncio.ensure_future(runner.run())
    try:
        yield runner
    finally:
        runner.stop(0)
        await task


async def test_a_job_that_fails_is_tried_again_until_it_is_dead(database: Database, diary: Diary) -> None:
    heard = Heard()
    await ask(database, "fail")
    async with running(database, *diary.kinds().values(), heard=heard):
        await until(lambda: has(database, "dead"))

    assert heard.ended == [("fail", "failed"), ("fail", "failed"), ("fail", "dead")]
    assert len(diary.lines("failing")) == 3
    [dead] = await jobs_in(database, "dead")
    assert dead.error == "RuntimeError: as it is meant to"


async def has(database: Database, state: str, number: int = 1) -> bool:
    return len(await jobs_in(database, state)) == number


async def test_a_dead_job_that_is_retried_is_done_once_it_can_be(database: Database) -> None:
    broken = True

    async def perform(_: Job) -> None:
        if broken:
            raise RuntimeError("not yet")

    made = await ask(database, "mends")
    async with running(database, Kind("mends", perform, attempts=1)):
        await until(lambda: has(database, "dead"))
        broken = False
        await database.write(partial(jobs.retry, job_id=made))
        await until(lambda: has(database, "done"))


async def test_a_job_whose_processes_all_die_is_dead_in_the_end(database: Database) -> None:
    heard = Heard()
    await ask(database, "deadly")
    for _ in range(3):
        await database.write(partial(jobs.claim, kinds=["deadly"], worker="gone", lease=0, limit=1))
    async with running(database, Kind("deadly", nothing, attempts=3), heard=heard):
        await until(lambda: has(database, "dead"))

    assert heard.ended == [("deadly", "dead")]


async def test_an_error_that_no_database_takes_as_text_is_an_outcome_all_the_same(database: Database) -> None:
    async def perform(_: Job) -> None:
        raise ValueError("a\x00b \udcff")

    await ask(database, "odd")
    async with running(database, Kind("odd", perform, attempts=1)):
        await until(lambda: has(database, "dead"))

    [dead] = await jobs_in(database, "dead")
    assert dead.error == r"ValueError: a\x00b \udcff"


async def test_what_was_asked_for_while_the_last_attempt_ran_is_done_by_another_job(database: Database) -> None:
    attempts = 0

    async def perform(_: Job) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            await ask(database, "late")
            raise RuntimeError("as it was before")

    await ask(database, "late")
    async with running(database, Kind("late", perform, attempts=1)):
        await until(lambda: has(database, "done"))

    assert attempts == 2


async def test_what_runs_again_and_again_never_dies(database: Database) -> None:
    heard = Heard()

    async def perform(_: Job) -> None:
        raise RuntimeError("always")

    async with running(database, Kind("tick", perform, every=0.05, attempts=1, first_pause=0.01), heard=heard):
        await until(lambda: true(len(heard.ended) >= 3))

    assert set(heard.ended) == {("tick", "failed")}
    assert len(await jobs_in(database)) == 1


async def true(condition: bool) -> bool:
    return condition


async def test_no_more_jobs_run_at_once_than_allowed(database: Database) -> None:
    now = most = 0

    async def perform(_: Job) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= 1

    for number in range(20):
        await ask(database, "counted", str(number))
    async with running(database, Kind("counted", perform)):
        await until(lambda: has(database, "done", 20))

    assert most == QUICK.concurrency


async def test_a_long_job_keeps_its_lease(database: Database) -> None:
    heard = Heard()
    await ask(database, "long")
    kind = Kind("long", lambda _: asyncio.sleep(1.5))
    async with running(database, kind, heard=heard), running(database, kind, heard=heard):
        await until(lambda: has(database, "done"))

    assert heard.ended == [("long", "done")]


async def test_a_job_that_was_taken_over_is_cancelled(database: Database) -> None:
    heard, cancelled = Heard(), asyncio.Event()

    async def perform(_: Job) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    await ask(database, "long")
    async with running(database, Kind("long", perform), heard=heard):
        await until(lambda: has(database, "running"))
        await database.write(lambda tx: tx.execute("UPDATE jobs SET lease = 'another one'"))
        await asyncio.wait_for(cancelled.wait(), 5)
        await until(lambda: true(bool(heard.ended)))

    assert heard.ended == [("long", "lost")]
    assert await has(database, "running")


class Away:
    """A database that fails for a while."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.away = False

    def __getattr__(self, name: str) -> Any:
        if self.away:
            raise MetadataUnavailable("away")
        return getattr(self._database, name)


async def test_an_outcome_waits_for_a_database_that_is_away(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    away, heard = Away(database), Heard()

    async def perform(_: Job) -> None:
        away.away = True
        asyncio.get_running_loop().call_later(1.5, setattr, away, "away", False)

    await ask(database, "last")
    lasting = FAST.model_copy(update={"lease_seconds": 30})
    async with running(away, Kind("last", perform), heard=heard, settings=lasting):
        await until(lambda: has(database, "done"))

    assert heard.ended == [("last", "done")]
    assert "jobs cannot be looked for" in caplog.text


async def test_an_outcome_that_cannot_be_written_is_left_to_the_next_one(database: Database) -> None:
    away, heard = Away(database), Heard()

    async def perform(job: Job) -> None:
        away.away = job.attempts == 1

    await ask(database, "last")
    async with running(away, Kind("last", perform), heard=heard):
        await until(lambda: true(bool(heard.ended)))
        async with running(database, Kind("last", perform), heard=heard):
            await until(lambda: has(database, "done"))
        away.away = False

    assert heard.ended == [("last", "lost"), ("last", "done")]


async def test_a_stop_waits_for_what_runs_and_takes_nothing_more_up(database: Database) -> None:
    begun = asyncio.Event()

    async def perform(_: Job) -> None:
        begun.set()
        await asyncio.sleep(0.3)

    single = QUICK.model_copy(update={"concurrency": 1})
    await ask(database, "short", "a")
    await ask(database, "short", "b")
    async with running(database, Kind("short", perform), settings=single) as runner:
        await begun.wait()
        runner.stop(10)
        await until(lambda: has(database, "done"))
        await asyncio.sleep(0.1)

    assert sorted(job.state for job in await jobs_in(database)) == ["done", "waiting"]


async def test_a_second_stop_is_at_once(database: Database) -> None:
    heard = Heard()
    await ask(database, "long")
    async with running(database, Kind("long", lambda _: asyncio.sleep(60)), heard=heard) as runner:
        await until(lambda: has(database, "running"))
        runner.stop(60)
        await asyncio.sleep(0.05)
        runner.stop(0)
        await until(lambda: has(database, "waiting"))

    assert heard.ended == [("long", "given back")]


async def test_a_job_that_cancels_itself_has_failed(database: Database) -> None:
    heard = Heard()

    async def perform(_: Job) -> None:
        raise asyncio.CancelledError

    await ask(database, "odd")
    async with running(database, Kind("odd", perform, attempts=1), heard=heard):
        await until(lambda: has(database, "dead"))

    assert heard.ended == [("odd", "dead")]


async def test_what_is_not_wanted_is_not_taken_up_and_nothing_is_written(place: Place) -> None:
    commits: list[Commit] = []
    work, looks = False, 0

    async def wanted() -> bool:
        nonlocal looks
        looks += 1
        return work

    kind = Kind("rare", nothing, every=0.1, wanted=wanted)
    async with place.open(commits.append) as database, running(database, kind):
        await until(lambda: true(looks > 2))
        assert len(commits) == 1  # the schedule's row
        assert looks < 20
        work = True
        await until(lambda: finished_once(database))


@pytest.mark.parametrize("error", [StorageFailed("reset"), KeyError("a mistake of ours")])
async def test_a_look_that_fails_is_told_as_the_job_s_and_holds_up_no_other_kind(
    database: Database, error: Exception
) -> None:
    heard = Heard()

    async def broken() -> bool:
        raise error

    async def perform(_: Job) -> None:
        await broken()

    broken_kind = Kind("broken", perform, every=0.01, wanted=broken)
    await ask(database, "sound")
    async with running(database, broken_kind, Kind("sound", nothing), heard=heard):
        await until(lambda: true({("broken", "failed"), ("sound", "done")} <= set(heard.ended)))


async def finished_once(database: Database) -> bool:
    [job] = await jobs_in(database)
    return job.finished_at is not None


async def test_what_is_asked_for_runs_whether_it_seems_wanted_or_not(database: Database) -> None:
    async def wanted() -> bool:
        return False

    async with running(database, Kind("rare", nothing, every=3600, wanted=wanted)):
        await until(lambda: true_once_scheduled(database))
        await ask(database, "rare")
        await until(lambda: finished_once(database))


async def true_once_scheduled(database: Database) -> bool:
    return bool(await jobs_in(database))


async def test_jobs_are_counted(database: Database) -> None:
    heard = Heard()
    await ask(database, "of another process")
    async with running(database, Kind("tick", nothing, every=3600), heard=heard):
        await until(lambda: true(bool(heard.counts)))

    assert heard.counts == {("of another process", "waiting"): 1, ("tick", "waiting"): 1}


async def test_each_outcome_is_a_line(database: Database, diary: Diary, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await ask(database, "note", "a")
    await ask(database, "fail", "b")
    async with running(database, *diary.kinds().values()):
        await until(lambda: has(database, "dead"))

    lines = [(one.levelname, one.message) for one in caplog.records if getattr(one, "key", None) in ("a", "b")]
    assert ("INFO", "job done") in lines
    assert ("WARNING", "job failed: RuntimeError: as it is meant to") in lines
    assert ("ERROR", "job dead: RuntimeError: as it is meant to") in lines


@pytest.mark.parametrize(("attempts", "least", "most"), [(1, 7.5, 12.5), (3, 30, 50), (100, 2700, 4500)])
def test_pauses_grow_and_are_bounded(attempts: int, least: float, most: float) -> None:
    job = Job(1, "k", "", {}, "running", 0, attempts, "l", "w", None, 0, None)

    pauses = [Kind("k", nothing).pause(job) for _ in range(100)]

    assert least <= min(pauses) < max(pauses) <= most
