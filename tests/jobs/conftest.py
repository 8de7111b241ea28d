"""A database of each kind, what the tests' jobs write, and processes that run them."""

import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from pierhead.metadata.database import Database
from tests.contracts.database import ROOT, Place
from tests.jobs.kinds import Diary

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def database(place: Place) -> AsyncIterator[Database]:
    async with place.open() as database:
        yield database


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    return Diary(tmp_path / "diary")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def start(place: Place, tmp_path: Path, log: Path) -> Iterator[Start]:
    """Starts a process that runs jobs of some kinds."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*kinds: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "tests.jobs.process", place.kind, place.where, str(tmp_path / "diary"), *kinds]
        with log.open("ab") as stderr:
            started.append(subprocess.Popen(command, cwd=ROOT, stderr=stderr))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def eventually(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)
