"""What is measured, each with its goal."""

import itertools
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import loads, peers
from benchmarks.collection import distribution, files, ours
from benchmarks.collection.contents import BLOB_BYTES, PARTS, Contents, more_orphans
from benchmarks.collection.many import shared
from benchmarks.collection.ours import Ours
from benchmarks.collection.report import Line, number, ratio
from benchmarks.loads import Loaded
from benchmarks.peers import DISTRIBUTION_3, OURS
from tests import components

EXAMINED_GOAL, REMOVED_GOAL, SLOWER_GOAL = 5000, 500, 1.5
_STREAMS = 16
# At once with what it removes at its fastest, so that it has work for a whole phase.
_UNNEEDED_PER_SECOND, _SUSPECTED_PER_SECOND = 3000, 10_000
_PATHS, _PULLED = 2000, 200


@dataclass(frozen=True, slots=True)
class Bench:
    """`--quick` makes it small."""

    folder: Path
    program: Path  # the load generator
    blobs: int
    unneeded: int
    seconds: float  # of a phase
    rounds: int  # pairs of phases
    pushes: float  # images a second, where the load is a steady one
    pulls: float  # requests a second

    @property
    def contents(self) -> Contents:
        return Contents(self.blobs, self.unneeded, repositories=max(10, self.blobs // 1000))

    @property
    def tenth(self) -> Contents:
        """For what a registry's size does not change."""
        return Contents(self.blobs // 10, self.unneeded, repositories=max(10, self.blobs // 10_000))


def pace(bench: Bench) -> list[Line]:
    with _alone(bench) as registry:
        return _pace(bench, registry, bench.tenth, bench.unneeded)


def pace_of_many(bench: Bench) -> list[Line]:
    with shared(bench.folder) as registry:
        small = Contents(bench.blobs // 50, 0, repositories=10)
        lines = _pace(bench, registry, small, bench.unneeded // 25)
        return [Line(f"{line.name}, PostgreSQL and S3", line.cells, "") for line in lines]


def _pace(bench: Bench, registry: Ours, contents: Contents, orphans: int) -> list[Line]:
    ours.fill(registry, contents)
    examined = [_examination(registry, contents) for _ in range(bench.rounds)]
    more = more_orphans(list(registry.ids))
    removed = [_removal(registry, list(itertools.islice(more, orphans))) for _ in range(bench.rounds)]
    return [
        _at_least("blobs looked at that have to stay, /s", examined, EXAMINED_GOAL),
        _at_least("blobs removed, rows and bytes, /s", removed, REMOVED_GOAL),
    ]


def _examination(registry: Ours, contents: Contents) -> float:
    ours.suspect(registry, contents, contents.blobs)
    count = ours.waiting(registry)
    return count / ours.collect(registry)


def _removal(registry: Ours, orphans: list[tuple[str, str]]) -> float:
    ours.leave(registry, orphans)
    took = ours.collect(registry)
    if not registry.gone([digest for _, digest in orphans]):
        raise SystemExit("there are files of blobs that were collected")
    return len(orphans) / took


def _at_least(name: str, rates: list[float], goal: float) -> Line:
    found = statistics.median(rates)
    met = "met" if found >= goal else "**missed**"
    return Line(name, {OURS: number(found)}, f"at least {goal:,.0f}: {met}")


def offline(bench: Bench) -> Line:
    """All of one registry, ours while it may serve, theirs while it may not."""
    contents = bench.contents
    cells = {}
    with _alone(bench) as registry:
        ours.fill(registry, contents)
        ours.leave(registry, list(contents.orphans))
        took = ours.collect(registry)
        if not registry.gone([digest for _, digest in contents.orphans]):
            raise SystemExit("there are files of blobs that were collected")
        cells[OURS] = f"{number(took)} s, beside a server or without one"
    note = ""
    if components.find("registry"):
        theirs = bench.folder / "distribution"
        try:
            distribution.fill(theirs, contents)
            stopped = distribution.collect(theirs, contents)
        finally:
            shutil.rmtree(theirs, ignore_errors=True)
        cells[DISTRIBUTION_3] = f"{number(stopped)} s, while nobody may push"
        note = f"theirs takes {stopped / took:.1f} times as long"
    return Line(f"{contents.unneeded:,} unneeded blobs collected of {contents.blobs:,}", cells, note)


@dataclass(frozen=True, slots=True)
class Phases:
    """99th percentiles of each phase, in milliseconds."""

    pushes: list[float] = field(default_factory=list)
    pulls: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)  # of pushes

    def add(self, pushed: Loaded, pulled: Loaded) -> None:
        self.pushes.append(pushed.p99)
        self.pulls.append(pulled.p99)
        self.rates.append(pushed.rate)


def steady(bench: Bench) -> list[Line]:
    """Pushes and pulls come at a rate that the registry can well take, as from clients who do not wait for others."""
    return _under_load(bench, _steadily(bench), pushes=bench.pushes, pulls=bench.pulls)


def hurried(bench: Bench) -> list[Line]:
    """The same, and an operator who does not want to wait for the collector."""
    title = f"{_steadily(bench)}, `--no-rest`"
    return _under_load(bench, title, pushes=bench.pushes, pulls=bench.pulls, rests=False)


def _steadily(bench: Bench) -> str:
    return f"{bench.pushes:,.0f} small images pushed and {bench.pulls:,.0f} requests pulled a second"


def flat_out(bench: Bench) -> list[Line]:
    """As many as may be: whatever the collector computes is taken from them."""
    return _under_load(bench, f"{_STREAMS} connections push and {_STREAMS} pull, as fast as may be", pushes=0, pulls=0)


def _under_load(bench: Bench, title: str, *, pushes: float, pulls: float, rests: bool = True) -> list[Line]:
    """Phases with collection and without in turn, in one run of one server."""
    contents, without, beside = bench.contents, Phases(), Phases()
    settings = bench.folder / "jobs.toml"
    settings.write_text("[jobs]\nenabled = false\n")  # collection is what is switched on and off here
    paces = []
    with peers.running(OURS, bench.folder, None, "--config", str(settings)) as running:
        registry = Ours(running.data / "store")
        ours.fill(registry, contents)
        paths = _paths(bench, running.url, contents)
        more = more_orphans(list(registry.ids))
        _load(bench, running.url, paths, turn=-1, pushes=pushes, pulls=pulls)  # what is done once is done
        for turn in range(bench.rounds * 2):
            collects = turn % 4 in (1, 2)  # A B B A: nothing that drifts is on one side alone
            if collects:
                ours.leave(registry, list(itertools.islice(more, int(_UNNEEDED_PER_SECOND * bench.seconds))))
                ours.suspect(registry, contents, int(_SUSPECTED_PER_SECOND * bench.seconds))
            files.settle()
            with _collecting(registry, rests=rests) if collects else _nothing():
                before = ours.waiting(registry)
                pushed, pulled = _load(bench, running.url, paths, turn=turn, pushes=pushes, pulls=pulls)
                left = ours.waiting(registry)
            (beside if collects else without).add(pushed, pulled)
            if collects:
                paces.append((before - left) / bench.seconds)
                if not left:
                    print("  nothing was left to collect before the end of a phase", flush=True)
    return [
        _slower(f"99th percentile of a push: {title}", without.pushes, beside.pushes, paces),
        _slower(f"99th percentile of a pull: {title}", without.pulls, beside.pulls, paces),
    ]


def _slower(name: str, without: list[float], beside: list[float], paces: list[float]) -> Line:
    before, after = statistics.median(without), statistics.median(beside)
    cell = f"{before:.1f} ms alone, {after:.1f} ms beside collection ({number(statistics.median(paces))} blobs/s)"
    return Line(name, {OURS: cell}, ratio(after / before, SLOWER_GOAL))


def _paths(bench: Bench, url: str, contents: Contents) -> Path:
    """Of manifests from all over the registry, and of blobs, in turn. These are pushed: what is served is looked at."""
    images = (contents.blobs - contents.unneeded) // PARTS
    manifests = [
        f"/v2/{image.repository}/manifests/{image.tag}"
        for image in itertools.islice(contents.images, 0, None, max(1, images // _PATHS))
    ]
    pushed = [loads.put_blob(url, "bench/pulled", b"%*d" % (BLOB_BYTES, number)) for number in range(_PULLED)]
    blobs = itertools.cycle(f"/v2/bench/pulled/blobs/{digest}" for digest in pushed)
    target = bench.folder / "paths"
    target.write_text("\n".join(itertools.chain.from_iterable(zip(manifests, blobs, strict=False))))
    return target


def _load(bench: Bench, url: str, paths: Path, *, turn: int, pushes: float, pulls: float) -> tuple[Loaded, Loaded]:
    def load(mode: str, **options: object) -> Loaded:
        return loads.load(bench.program, mode, url, streams=_STREAMS, seconds=bench.seconds, **options)

    with ThreadPoolExecutor(2) as both:
        pushed = both.submit(load, "images", repos=50, seed=turn + 2, rate=pushes)
        pulled = both.submit(load, "requests", paths=paths, rate=pulls)
        return pushed.result(), pulled.result()


@contextmanager
def _collecting(registry: Ours, *, rests: bool) -> Iterator[None]:
    """Collects all the while, and is interrupted at the end: it goes on next time.

    The start of the program is over by then: the server's own job has none.
    """
    before = ours.waiting(registry)
    process = ours.collecting(registry, rests=rests)
    try:
        while process.poll() is None and ours.waiting(registry) == before:
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _alone(bench: Bench) -> Iterator[Ours]:
    """A registry that is not served just now; made by a server, as its directories and database are."""
    with peers.running(OURS, bench.folder) as running:
        data = running.data.rename(bench.folder / "alone")
    try:
        yield Ours(data / "store")
    finally:
        shutil.rmtree(data, ignore_errors=True)


ROWS: dict[str, Callable[[Bench], list[Line]]] = {
    "pace": pace,
    "pace-many": pace_of_many,
    "steady": steady,
    "hurried": hurried,
    "flat-out": flat_out,
    "offline": lambda bench: [offline(bench)],
}
