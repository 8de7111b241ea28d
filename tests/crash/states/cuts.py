"""Choosing moments of a story, and looking at what a cut then leaves: in process, or by a real server."""

import asyncio
import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests import running
from tests.crash.journal import Key, Value
from tests.crash.states import judge
from tests.crash.states.disk import Disk, Operation, Promise, Sync, Tree, Write
from tests.crash.states.disk import moments as moments_of
from tests.crash.states.laying import Bench
from tests.crash.states.story import Expected, Story
from tests.crash.verify import Verifier, check_rows
from tests.crash.wire import Wire

NEAR = 3  # events around one that is worth a cut


@dataclass(frozen=True, slots=True)
class Cut:
    """What a cut left, and what clients had been told by then."""

    number: int
    moment: int
    tree: Tree
    expected: list[Expected]
    chance: random.Random


def cuts(story: Story, promise: Promise, count: int, seed: str) -> Iterator[Cut]:
    """Disks that cuts at chosen moments leave, in the order of the moments."""
    chance = random.Random(seed)
    operations = story.recording.operations
    moments = moments_of(operations)
    chosen = sorted(choices(chance, operations, moments, story, count), reverse=True)
    disk, expected = Disk(promise), story.begin()
    for place, _ in enumerate(disk.run(operations)):
        # What was told just before the next event was told on this disk.
        told = moments[place + 1] - 1 if place + 1 < len(moments) else moments[-1]
        while chosen and chosen[-1] == place:
            chosen.pop()
            for one in expected:
                one.forward(told)
            yield Cut(count - len(chosen) - 1, told, disk.survivors(chance), expected, chance)


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
    data, chance = bench.lay(cut.tree), cut.chance
    changed = False
    async with judge.opened(data) as registry:
        for expected in cut.expected:
            await judge.compare(partial(judge.found, registry), expected, chance, data)
            await judge.compare_lists(registry, expected)
        if chance.random() < 0.1:
            changed = await judge.finish_session(registry, chance.choice(cut.expected), chance)
    if not changed:
        auditor.audit(data, cut.tree)
    else:
        bench.clear()


def serve(cut: Cut, folder: Path) -> None:
    """The same by a real server, that is used afterwards."""
    with TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as root:
        data = Bench(Path(root) / "state").lay(cut.tree)
        server = running.start(data, "--workers", "1", environment={"PIERHEAD_LOG_ACCESS": "none"})
        try:
            with Wire(server.host) as wire:
                for expected in cut.expected:
                    verifier = Verifier(wire, expected.client.journal)
                    asyncio.run(judge.compare(partial(_found, verifier), expected, cut.chance, data))
                use(wire, cut)
        except BaseException:
            server.process.kill()
            raise
        assert server.stop() == 0
        check_rows(data)


async def _found(verifier: Verifier, key: Key) -> Value:
    return verifier.found(key)


def use(wire: Wire, cut: Cut) -> None:
    """Whoever got no answer asks again; a blob that nobody has is pushed and pulled."""
    for expected in cut.expected:
        if expected.doubt and expected.doubt.name.startswith("DELETE"):
            method, _, path = expected.doubt.name.partition(" ")
            assert wire.ask(method, path).status in {202, 204, 404, 409}, expected.doubt.name
    content = cut.chance.randbytes(40_000)
    path = f"/v2/after/the-cut/blobs/{sha256(content)}"
    pushed = wire.ask("POST", f"/v2/after/the-cut/blobs/uploads/?digest={sha256(content)}", content)
    assert pushed.status == 201, pushed
    assert wire.ask("GET", path).body == content


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Looking:
    """Some of the states of a story, for a process of its own. `servers`: by real servers."""

    story: Story
    promise: Promise
    count: int
    seed: int
    folder: Path
    servers: bool = False

    def run(self) -> int:
        """How many were looked at. Raises what was wrong with the first that was not as told."""
        bench, auditor, seen = Bench(self.folder / f"{self.promise.name}"), judge.Auditor(), 0
        for cut in cuts(self.story, self.promise, self.count, f"{self.seed} {self.promise.name} {self.servers}"):
            try:
                if self.servers:
                    serve(cut, self.folder)
                else:
                    asyncio.run(examine(cut, bench, auditor))
            except Exception as error:
                raise AssertionError(
                    f"PIERHEAD_STATES_SEED={self.seed}: state {cut.number} of {self.count} ({self.promise.value}),"
                    f" line {cut.moment} of {self.story.trace}: {error!r}"
                ) from error
            seen += 1
        return seen
