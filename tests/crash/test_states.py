"""What a power cut can leave, state by state: see `states/disk.py` for what that is.

Real servers are recorded while clients push, move, delete and mount; then moments are chosen and disks rebuilt as a cut
at that moment may leave them, and each is opened. PIERHEAD_STATES_SEED repeats a run's choices (what the recorded
processes did in which order differs).
"""

import asyncio
import os
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests import running
from tests.crash.states import judge
from tests.crash.states.disk import Disk, Operation, Promise, Sync, Tree, Write
from tests.crash.states.laying import Bench
from tests.crash.states.recording import Recorder
from tests.crash.states.story import Expected, Story, Teller

SOAK = os.environ.get("SOAK") == "1"
SEED = int(os.environ.get("PIERHEAD_STATES_SEED") or random.SystemRandom().randrange(10**9))
STATES = 10_000 if SOAK else 1000
CLIENTS = 3
STEPS = 70  # of each client, in each recording
NEAR = 3  # events around one that is worth a cut
ROOM = 512 * 1024 * 1024  # bytes of memory that a bench in it leaves free


@dataclass(frozen=True, slots=True)
class Cut:
    """What a cut left, and what clients had been told by then."""

    number: int
    moment: int
    tree: Tree
    expected: list[Expected]

    def chance(self) -> random.Random:
        return random.Random(f"{SEED} {self.number}")


def record(root: Path, seed: int) -> Story:
    """A server from its first start on, with several clients; it ends, starts again, and is used again."""
    root.mkdir(parents=True)
    recorder = Recorder(root)
    port = running.free_port()
    clients = [Teller(number, f"127.0.0.1:{port}", seed * 100 + number) for number in range(CLIENTS)]
    for part in (1, 2):
        server = recorder.start("serve", "--port", f"{port}", "--data", root / "data", "--workers", "2")
        wait_for(f"http://127.0.0.1:{port}/healthz")
        together([partial(client.work, part * STEPS // 2) for client in clients])
        for client in clients:
            if client.failure is not None:
                raise AssertionError(f"a client failed: {root}") from client.failure
        assert recorder.end(server) == 0
    return Story.of(recorder.finish(), clients)


def wait_for(url: str) -> None:
    ending = time.monotonic() + running.START_SECONDS
    while True:
        try:
            httpx.get(url, timeout=2)
            return
        except httpx.TransportError:
            assert time.monotonic() < ending, "the recorded server did not start"
            time.sleep(0.02)


def together(works: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def cuts(story: Story, promise: Promise, count: int, seed: str) -> Iterator[Cut]:
    """Disks that cuts at chosen moments leave, in the order of the moments."""
    chance = random.Random(seed)
    operations = story.recording.operations
    moments = list(Disk(promise).moments(operations))
    chosen = sorted(choices(chance, operations, moments, story, count), reverse=True)
    disk, expected = Disk(promise), story.begin()
    for place, _ in enumerate(disk.moments(operations)):
        # What was told just before the next event was told on this disk.
        told = moments[place + 1] - 1 if place + 1 < len(moments) else moments[-1]
        while chosen and chosen[-1] == place:
            chosen.pop()
            for one in expected:
                one.forward(told)
            yield Cut(count - len(chosen) - 1, told, disk.survivors(chance), expected)


def choices(
    chance: random.Random, operations: list[Operation], moments: list[int], story: Story, count: int
) -> list[int]:
    """Places among the moments: half anywhere after the first start, most others near a sync, a name or an answer."""
    first = min(at for answers in story.recording.answers.values() for at in answers)
    places = [place for place, moment in enumerate(moments) if moment >= first]
    worth = {one.began for one in operations if not isinstance(one, Write)}
    worth |= {one.ended for one in operations if isinstance(one, Sync)}
    near = [place for place in places if moments[place] in worth]
    near = [max(0, min(len(moments) - 1, place + chance.randint(-NEAR, NEAR))) for place in near]
    early = count // 25
    return [
        *(chance.randrange(len(moments) - len(places)) for _ in range(early)),
        *(chance.choice(places) for _ in range(count // 2)),
        *(chance.choice(near) for _ in range(count - count // 2 - early)),
    ]


async def examine(cut: Cut, bench: Bench, auditor: judge.Auditor) -> None:
    """Opens a state as a server would, and compares it with what was told."""
    data, chance = bench.lay(cut.tree), cut.chance()
    changed = False
    async with judge.opened(data) as registry:
        for expected in cut.expected:
            await judge.compare(partial(judge.found, registry), expected, chance)
            await judge.compare_lists(registry, expected)
        if chance.random() < 0.1:
            changed = await judge.finish_session(registry, chance.choice(cut.expected), chance)
    if not changed:
        auditor.audit(data, cut.tree)
    else:
        bench.clear()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return record(tmp_path_factory.mktemp("recorded") / "root", SEED)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """In memory where there is room: the states are the model's, and no sync of the disk below tells anything."""
    memory = Path("/dev/shm")  # noqa: S108  a folder of its own is made in it
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 * ROOM
    with tempfile.TemporaryDirectory(dir=memory if roomy else tmp_path) as folder:
        yield Bench(Path(folder) / "state")


@pytest.mark.timeout(0 if SOAK else 600)
def test_what_was_told_is_there_after_a_cut_at_any_moment(
    story: Story, bench: Bench, announce: Callable[[str], None]
) -> None:
    began, auditor, seen = time.monotonic(), judge.Auditor(), 0
    for promise in Promise:
        for cut in cuts(story, promise, STATES // 2, f"{SEED} {promise.value}"):
            try:
                asyncio.run(examine(cut, bench, auditor))
            except BaseException as error:
                error.add_note(f"PIERHEAD_STATES_SEED={SEED}: state {cut.number} of {promise}, line {cut.moment}")
                raise
            seen += 1
    announce(f"crash states: seed {SEED}, {seen} states opened in {time.monotonic() - began:.0f} s")
