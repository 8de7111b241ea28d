"""What a power cut can leave, state by state: see `states/disk.py` for what that is.

Real servers are recorded while clients push, move, delete and mount; then moments are chosen and disks rebuilt as a cut
at that moment may leave them, and each is opened. PIERHEAD_STATES_SEED repeats a run's choices (what the recorded
processes did in which order differs).
"""

import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.crash.states.cuts import Looking
from tests.crash.states.disk import Disk, Promise
from tests.crash.states.stage import record
from tests.crash.states.story import Story
from tests.profiles import SOAK

SEED = int(os.environ.pop("PIERHEAD_STATES_SEED", "") or random.SystemRandom().randrange(10**9))
STORIES = 10 if SOAK else 1  # recordings
STATES = 1000  # of each
SERVERS = 50 if SOAK else 100
ROOM = 1024 * 1024 * 1024  # bytes of memory that have to be free for states to be laid out in it

pytestmark = pytest.mark.timeout(0 if SOAK else 600)


@pytest.fixture(scope="module", params=range(STORIES))
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Story]:
    """Where things were recorded, and what."""
    root = tmp_path_factory.mktemp("recorded") / "root"
    return root, record(root, SEED + request.param)


@pytest.fixture
def story(recorded: tuple[Path, Story]) -> Story:
    return recorded[1]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where there is room: a state is the model's, whatever the disk below it does."""
    memory = Path("/dev/shm")  # noqa: S108  a folder of its own is made in it
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM
    with tempfile.TemporaryDirectory(dir=memory if roomy else tmp_path) as made:
        yield Path(made)


def look(story: Story, folder: Path, states: int, *, servers: bool) -> int:
    """At so many states, half by each promise, in two processes."""
    halves = [Looking(story, promise, states // len(Promise), SEED, folder, servers=servers) for promise in Promise]
    with ProcessPoolExecutor(len(halves), get_context("spawn")) as processes:
        return sum(done.result() for done in [processes.submit(half.run) for half in halves])


def test_a_recording_holds_all_that_was_done_to_the_files(recorded: tuple[Path, Story]) -> None:
    root, story = recorded
    disk = Disk()
    for _ in disk.run(story.recording.operations):
        pass

    whole = disk.whole()
    found = [path for path in root.rglob("*") if "data/run" not in str(path)]
    assert {str(path.relative_to(root)) for path in found if path.is_dir()} == whole.directories
    files = {str(path.relative_to(root)): path.read_bytes() for path in found if path.is_file()}
    assert files == {path: content.data for path, content in whole.files.items()}


def test_what_was_told_is_there_after_a_cut_at_any_moment(
    story: Story, folder: Path, announce: Callable[[str], None]
) -> None:
    began = time.monotonic()
    seen = look(story, folder, STATES, servers=False)

    announce(f"crash states: seed {SEED}, {seen} states opened in {time.monotonic() - began:.0f} s")
    assert seen == STATES


def test_a_server_starts_on_what_a_cut_left_and_tells_the_same(
    story: Story, folder: Path, announce: Callable[[str], None]
) -> None:
    began = time.monotonic()
    seen = look(story, folder, SERVERS, servers=True)

    announce(f"crash states: seed {SEED}, {seen} servers started in {time.monotonic() - began:.0f} s")
    assert seen == SERVERS
