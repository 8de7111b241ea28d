"""What rows of jobs keep, in every database: see `pierhead.metadata.jobs`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest

from pierhead.metadata import jobs
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.jobs import Job
from tests.contracts.database import Place

pytestmark = pytest.mark.anyio

HOUR = 3_600_000_000
KINDS = ("scan", "copy")
Write = Callable[..., Coroutine[Any, Any, bool]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def database(place: Place) -> AsyncIterator[Database]:
    async with place.open() as database:
        yield database


async def enqueue(database: Database, key: str = "", kind: str = "scan", **arguments: object) -> int:
    return await database.write(partial(jobs.enqueue, kind=kind, key=key, arguments=arguments))


async def claim(database: Database, *, limit: int = 100, lease: int = HOUR, worker: str = "w") -> list[Job]:
    return await database.write(partial(jobs.claim, kinds=KINDS, worker=worker, lease=lease, limit=limit))


async def only(database: Database, **wanted: Any) -> Job:
    [job] = await database.read(partial(jobs.page, limit=100, **wanted))
    return job


OUTCOMES: list[Write] = [
    partial(jobs.renew, lease=HOUR),
    jobs.finish,
    partial(jobs.finish_until, after=HOUR),
    partial(jobs.fail, error="e", after=HOUR),
    partial(jobs.bury, error="e"),
    jobs.give_back,
]


async def test_a_job_is_taken_up_with_what_it_is_about(database: Database) -> None:
    made = await enqueue(database, "sha256:ab", depth=3)

    [job] = await claim(database, worker="node-1")

    assert (job.id, job.kind, job.key, job.arguments) == (made, "scan", "sha256:ab", {"depth": 3})
    assert (job.state, job.attempts, job.worker) == ("running", 1, "node-1")


async def test_of_a_kind_and_key_one_waits_and_the_last_arguments_count(database: Database) -> None:
    first = await enqueue(database, "a", depth=1)

    assert await enqueue(database, "a", depth=2) == first
    assert await enqueue(database, "b") != first
    assert await enqueue(database, "a", kind="copy") != first
    assert [job.arguments for job in await claim(database) if job.id == first] == [{"depth": 2}]


async def test_a_job_goes_with_the_transaction_that_asked_for_it(database: Database) -> None:
    async def refused(tx: Transaction) -> None:
        await jobs.enqueue(tx, "scan")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await database.write(refused)

    assert await claim(database) == []


async def test_the_longest_due_come_first_and_no_more_than_asked(database: Database) -> None:
    made = [await enqueue(database, str(number)) for number in range(5)]

    assert sorted(job.id for job in await claim(database, limit=3)) == made[:3]
    assert sorted(job.id for job in await claim(database, limit=3)) == made[3:]


async def test_jobs_of_a_kind_that_a_process_does_not_know_are_left_to_others(database: Database) -> None:
    await enqueue(database, kind="of a later version")

    assert await database.read(partial(jobs.due, kinds=KINDS)) == {}
    assert await claim(database) == []


async def test_a_job_is_taken_over_once_its_lease_is_over_and_not_before(database: Database) -> None:
    await enqueue(database)
    [first] = await claim(database, lease=100_000)

    assert await claim(database) == []
    await asyncio.sleep(0.15)
    [second] = await claim(database, worker="other")

    assert (second.id, second.attempts, second.worker) == (first.id, 2, "other")
    assert second.lease != first.lease


async def test_a_renewed_lease_lasts_from_then(database: Database) -> None:
    await enqueue(database)
    [job] = await claim(database, lease=100_000)

    assert await database.write(partial(jobs.renew, job=job, lease=HOUR))
    await asyncio.sleep(0.15)
    assert await claim(database) == []


@pytest.mark.parametrize("write", OUTCOMES)
async def test_who_lost_a_job_can_write_nothing_of_it(database: Database, write: Write) -> None:
    await enqueue(database)
    [old] = await claim(database, lease=0)
    [new] = await claim(database)

    assert not await database.write(partial(write, job=old))
    assert (await only(database)).lease == new.lease
    assert await database.write(partial(write, job=new))


@pytest.mark.parametrize("write", OUTCOMES)
async def test_who_is_late_may_still_write_while_nobody_took_the_job(database: Database, write: Write) -> None:
    await enqueue(database)
    [job] = await claim(database, lease=0)

    assert await database.write(partial(write, job=job))


async def test_an_outcome_is_written_once(database: Database) -> None:
    await enqueue(database)
    [job] = await claim(database)
    await database.write(partial(jobs.finish, job=job))

    assert not await database.write(partial(jobs.bury, job=job, error="e"))
    assert (await only(database)).state == "done"


async def test_what_is_asked_for_while_it_runs_runs_once_more(database: Database) -> None:
    made = await enqueue(database)
    [job] = await claim(database)
    assert await enqueue(database, "", again=True) == made
    await database.write(partial(jobs.finish, job=job))

    [again] = await claim(database)
    assert (again.id, again.attempts, again.arguments) == (made, 1, {"again": True})
    await database.write(partial(jobs.finish, job=again))
    assert await claim(database) == []


async def test_a_failure_is_kept_and_the_job_waits(database: Database) -> None:
    await enqueue(database)
    [job] = await claim(database)
    await database.write(partial(jobs.fail, job=job, error="StorageFailed: reset", after=HOUR))

    failed = await only(database)
    assert (failed.state, failed.error, failed.attempts, failed.worker) == ("waiting", "StorageFailed: reset", 1, None)
    assert failed.due_at - job.created_at >= HOUR
    assert await claim(database) == []


async def test_asking_again_does_not_hurry_what_waits_after_a_failure(database: Database) -> None:
    await enqueue(database)
    [job] = await claim(database)
    await database.write(partial(jobs.fail, job=job, error="e", after=HOUR))
    await enqueue(database)

    assert await claim(database) == []


async def test_a_job_that_is_given_back_is_free_at_once_and_has_lost_no_attempt(database: Database) -> None:
    await enqueue(database)
    [job] = await claim(database)
    await database.write(partial(jobs.give_back, job=job))

    [again] = await claim(database)
    assert again.attempts == 1


async def test_a_dead_job_stays_and_can_be_retried(database: Database) -> None:
    made = await enqueue(database)
    [job] = await claim(database)
    await database.write(partial(jobs.bury, job=job, error="e"))

    assert await claim(database) == []
    assert (await only(database, state="dead")).error == "e"
    assert await database.write(partial(jobs.retry, job_id=made))
    [again] = await claim(database)
    assert (again.id, again.attempts) == (made, 1)


async def test_a_dead_job_does_not_stand_in_the_way_of_a_new_one_which_then_serves_both(database: Database) -> None:
    dead = await enqueue(database)
    [job] = await claim(database)
    await database.write(partial(jobs.bury, job=job, error="e"))
    new = await enqueue(database)

    assert new != dead
    assert await database.write(partial(jobs.retry, job_id=dead))
    assert [job.id for job in await database.read(partial(jobs.page, limit=10))] == [new]


async def test_all_dead_jobs_can_be_retried_at_once(database: Database) -> None:
    made = [await enqueue(database, str(number)) for number in range(3)]
    for job in await claim(database, limit=2):
        await database.write(partial(jobs.bury, job=job, error="e"))

    assert await database.write(jobs.retry_dead) == 2
    assert sorted(job.id for job in await claim(database)) == made


async def test_what_waits_after_a_failure_can_be_hurried_and_what_runs_or_is_not_there_cannot(
    database: Database,
) -> None:
    made = await enqueue(database)
    [job] = await claim(database)
    assert not await database.write(partial(jobs.retry, job_id=made))
    assert not await database.write(partial(jobs.retry, job_id=made + 1))
    await database.write(partial(jobs.fail, job=job, error="e", after=HOUR))

    assert await database.write(partial(jobs.retry, job_id=made))
    assert len(await claim(database)) == 1


async def test_a_job_is_dropped_unless_it_runs(database: Database) -> None:
    made = await enqueue(database)
    [job] = await claim(database)
    assert not await database.write(partial(jobs.drop, job_id=made))
    await database.write(partial(jobs.give_back, job=job))

    assert await database.write(partial(jobs.drop, job_id=made))
    assert not await database.write(partial(jobs.drop, job_id=made))


async def test_a_schedule_is_one_row_that_comes_back_after_its_time(database: Database) -> None:
    for after in (0, HOUR):
        await database.write(partial(jobs.schedule, kind="scan", after=after))
    assert await database.read(jobs.schedules) == ["scan"]
    [job] = await claim(database)
    await database.write(partial(jobs.finish_until, job=job, after=HOUR))

    waiting = await only(database)
    assert (waiting.id, waiting.state, waiting.attempts) == (job.id, "waiting", 0)
    assert waiting.due_at - (waiting.finished_at or 0) == pytest.approx(HOUR, abs=1_000_000)
    assert await claim(database) == []


async def test_a_schedule_that_is_asked_for_runs_at_once_also_after_the_run_under_way(database: Database) -> None:
    await database.write(partial(jobs.schedule, kind="scan", after=HOUR))
    await enqueue(database)
    [job] = await claim(database)
    await enqueue(database)
    await database.write(partial(jobs.finish_until, job=job, after=HOUR))

    assert [one.id for one in await claim(database)] == [job.id]


async def test_what_is_due_tells_whether_somebody_asked_or_it_was_begun(database: Database) -> None:
    due = partial(jobs.due, kinds=KINDS)
    await database.write(partial(jobs.schedule, kind="scan", after=0))
    assert await database.read(due) == {"scan": False}
    [job] = await claim(database, lease=0)
    assert await database.read(due) == {"scan": True}
    await database.write(partial(jobs.finish_until, job=job, after=0))
    assert await database.read(due) == {"scan": False}
    await enqueue(database)

    assert await database.read(due) == {"scan": True}


async def test_jobs_are_listed_latest_first_in_pages_and_counted(database: Database) -> None:
    made = [await enqueue(database, str(number)) for number in range(5)]
    [job] = await claim(database, limit=1)
    await database.write(partial(jobs.bury, job=job, error="e"))
    [job] = await claim(database, limit=1)

    page = await database.read(partial(jobs.page, limit=2, state="waiting"))
    assert [one.id for one in page] == [made[4], made[3]]
    page = await database.read(partial(jobs.page, limit=2, state="waiting", before=made[3]))
    assert [one.id for one in page] == [made[2]]
    assert await database.read(jobs.counts) == {("scan", "waiting"): 3, ("scan", "running"): 1, ("scan", "dead"): 1}


async def test_what_was_done_long_ago_is_forgotten_in_portions_and_dead_ones_stay(database: Database) -> None:
    for number in range(5):
        await enqueue(database, str(number))
    dead, *done = await claim(database)
    await database.write(partial(jobs.bury, job=dead, error="e"))
    for job in done:
        await database.write(partial(jobs.finish, job=job))
    assert not await database.read(partial(jobs.any_old, age=HOUR))
    assert await database.write(partial(jobs.forget, age=HOUR, limit=3)) == 0
    assert await database.read(partial(jobs.any_old, age=-HOUR))

    assert [await database.write(partial(jobs.forget, age=-HOUR, limit=3)) for _ in range(3)] == [3, 1, 0]
    assert (await only(database)).id == dead.id


async def test_every_job_is_claimed_once_however_many_claim_at_once(place: Place, database: Database) -> None:
    for number in range(200):
        await enqueue(database, str(number))

    async def claim_all(own: Database) -> list[int]:
        found: list[int] = []
        while await database.read(partial(jobs.due, kinds=KINDS)):
            found += [job.id for job in await claim(own, limit=7)]
        return found

    async with AsyncExitStack() as stack:
        own = [await stack.enter_async_context(place.open()) for _ in range(4)]
        claimed = [job for found in await asyncio.gather(*map(claim_all, own)) for job in found]

    assert len(claimed) == len(set(claimed)) == 200


async def test_askers_and_workers_at_once_lose_no_request(place: Place, database: Database) -> None:
    """Each request is followed by a run that began after it was committed."""
    served = asked = 0
    asking = True

    async def ask(own: Database) -> None:
        nonlocal asked
        for _ in range(50):
            await enqueue(own)
            asked += 1

    async def work(own: Database) -> None:
        nonlocal served
        while asking or len(await database.read(partial(jobs.due, kinds=KINDS))) > 0:
            for job in await claim(own):
                before = asked
                await asyncio.sleep(0.001)
                assert await own.write(partial(jobs.finish, job=job))
                served = max(served, before)

    async with AsyncExitStack() as stack:
        own = [await stack.enter_async_context(place.open()) for _ in range(4)]
        working = [asyncio.ensure_future(work(one)) for one in own[:2]]
        await asyncio.gather(*map(ask, own[2:]))
        asking = False
        await asyncio.gather(*working)

    assert served == asked == 100
