"""`pierhead jobs`, on the data of a server that does not run."""

import asyncio
import json
import os
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pierhead.data_directory import share
from pierhead.metadata import jobs
from pierhead.metadata.database import Transaction
from pierhead.metadata.sqlite import engine
from pierhead.metadata.sqlite.database import SqliteDatabase
from tests.cli.test_main import pierhead


def test_a_database_that_an_earlier_version_serves_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "pierhead.db"
    connection = engine.connect(path)
    connection.execute(engine.step_text(engine.STEPS[0]))
    connection.pragma("application_id", engine.APPLICATION_ID)
    connection.pragma("user_version", 1)
    connection.close()
    worker = share(tmp_path)
    refused = pierhead("jobs", "list", "--data", str(tmp_path))
    os.close(worker)

    assert refused.returncode == 1
    assert "an earlier version serves" in refused.stderr
    assert engine.is_of_an_earlier_schema(path)
    assert pierhead("jobs", "list", "--data", str(tmp_path)).returncode == 0


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A dead job (1), one that is done (2), one that waits (3) and a schedule (4)."""

    async def fill(tx: Transaction) -> None:
        dead, done = await enqueued(tx, "sha256:ab"), await enqueued(tx, "sha256:cd")
        await jobs.bury(tx, dead, error="StorageFailed: read:\nETIMEDOUT, " + "x" * 100)
        await jobs.finish(tx, done)
        await jobs.enqueue(tx, "scan", "sha256:ef", {"depth": 1})
        await jobs.schedule(tx, "uploads.expire", after=3_600_000_000)

    written(tmp_path, fill)
    return tmp_path


async def enqueued(tx: Transaction, key: str) -> jobs.Job:
    await jobs.enqueue(tx, "scan", key)
    [job] = await jobs.claim(tx, ["scan"], worker="node-1/7", lease=60_000_000, limit=1)
    return job


def written(data: Path, operation: Callable[[Transaction], Coroutine[Any, Any, Any]]) -> Any:
    async def write() -> Any:
        async with SqliteDatabase(data / "pierhead.db") as database:
            return await database.write(operation)

    return asyncio.run(write())


def states(data: Path) -> dict[int, str]:
    return {job.id: job.state for job in written(data, partial(jobs.page, limit=100))}


def test_jobs_are_listed_in_a_table(data: Path) -> None:
    lines = pierhead("jobs", "list", "--data", str(data)).stdout.splitlines()

    assert lines[0].split() == ["ID", "KIND", "KEY", "STATE", "DUE", "ATTEMPTS", "WORKER", "ERROR"]
    assert [line.split()[:4] for line in lines[1:]] == [
        ["4", "uploads.expire", "-", "waiting"],
        ["3", "scan", "sha256:ef", "waiting"],
        ["2", "scan", "sha256:cd", "done"],
        ["1", "scan", "sha256:ab", "dead"],
    ]
    assert "StorageFailed: read: ETIMEDOUT, x" in lines[4]
    assert max(map(len, lines)) < 170


def test_those_of_one_state_are_listed_alone_and_in_full_as_json(data: Path) -> None:
    [job] = json.loads(pierhead("jobs", "list", "--data", str(data), "--state", "dead", "--json").stdout)

    assert (job["id"], job["kind"], job["key"], job["state"], job["attempts"]) == (1, "scan", "sha256:ab", "dead", 1)
    assert job["error"].endswith("x" * 100)


def test_a_dead_job_is_retried(data: Path) -> None:
    assert pierhead("jobs", "retry", "1", "--data", str(data)).stdout == "1 will be tried again\n"
    assert states(data)[1] == "waiting"


def test_all_dead_jobs_are_retried(data: Path) -> None:
    assert pierhead("jobs", "retry", "--all-dead", "--data", str(data)).stdout == "1 will be tried again\n"
    assert states(data)[1] == "waiting"


def test_a_job_is_dropped(data: Path) -> None:
    assert pierhead("jobs", "drop", "1", "--data", str(data)).stdout == "1 dropped\n"
    assert 1 not in states(data)


def test_a_schedule_is_run_now(data: Path) -> None:
    assert pierhead("jobs", "run", "uploads.expire", "--data", str(data)).stdout == "uploads.expire runs as job 4\n"
    [due, *_] = written(data, partial(jobs.page, limit=1))
    assert due.due_at - due.created_at < 60_000_000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["retry", "2"], "no job with the id 2 is dead or waits"),
        (["drop", "99"], "there is no job with the id 99, or it runs"),
        (["run", "upload.expire"], "upload.expire: no such kind runs here; there are: uploads.expire"),
    ],
)
def test_what_cannot_be_done_is_said(data: Path, arguments: list[str], said: str) -> None:
    refused = pierhead("jobs", *arguments, "--data", str(data))

    assert (refused.returncode, refused.stderr) == (1, f"pierhead: {said}\n")


@pytest.mark.parametrize("arguments", [["retry"], ["retry", "1", "--all-dead"], ["list", "--state", "odd"]])
def test_what_is_not_meant_is_explained(data: Path, arguments: list[str]) -> None:
    refused = pierhead("jobs", *arguments, "--data", str(data))

    assert refused.returncode == 2
    assert "Usage:" in refused.stderr


def test_where_there_is_no_database_none_is_made(tmp_path: Path) -> None:
    refused = pierhead("jobs", "list", "--data", str(tmp_path / "data"))

    assert refused.returncode == 1
    assert "there is no database" in refused.stderr
    assert not (tmp_path / "data").exists()
