"""The work: what is prepared, what is done, and which goals stand beside it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import loads
from benchmarks.cluster.fleets import BALANCED, DISTRIBUTION, ONE, OURS, STARTS, THREE, Fleet
from benchmarks.loads import GIB, Loaded


@dataclass(frozen=True, slots=True)
class Sizes:
    """`--quick` makes them small."""

    program: Path  # the load generator
    seconds: float
    blob: int  # bytes


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    unit: str  # /s, or MB/s
    work: Callable[[Sizes, Fleet, int], Loaded]
    prepare: Callable[[Sizes, Fleet], None] | None = None
    goal: float = 0  # at least so many times the figure of Distribution
    wait_goal: float = 0  # of the time from a blob's last byte to its 201: at most so many times theirs
    fleets: tuple[str, ...] = tuple(STARTS)
    rounds: int = 0  # 0: as many as asked for
    fresh: bool = False  # an empty store for each measurement
    memory: int = 0  # MiB at most


def _image(_: Sizes, fleet: Fleet) -> None:
    layer = loads.put_blob(fleet.url, "team/app", b"x" * 1024)
    loads.put_image(fleet.url, "team/app", "v1", layer, 1024)


def _manifests(sizes: Sizes, fleet: Fleet, _: int) -> Loaded:
    options = {"paths": "/v2/team/app/manifests/v1", "streams": 32, "seconds": sizes.seconds}
    return loads.load(sizes.program, "requests", fleet.urls, **options)


def _blob(sizes: Sizes, fleet: Fleet) -> None:
    loads.load(sizes.program, "push", fleet.url, size=sizes.blob // 4, streams=1, seed=7)


def _pulls(sizes: Sizes, fleet: Fleet, _: int) -> Loaded:
    digest = loads.digest_of_push(sizes.program, sizes.blob // 4, 7)
    options = {"paths": f"/v2/push/r0/blobs/{digest}", "streams": 4}
    return loads.load(sizes.program, "pull", fleet.urls, **options)


def _push(streams: int) -> Callable[[Sizes, Fleet, int], Loaded]:
    def work(sizes: Sizes, fleet: Fleet, turn: int) -> Loaded:
        options = {"size": sizes.blob, "streams": streams, "seed": turn * 1000 + 1}
        return loads.load(sizes.program, "push", fleet.urls, **options)

    return work


def _images(sizes: Sizes, fleet: Fleet, turn: int) -> Loaded:
    options = {"streams": 16, "seconds": sizes.seconds, "repos": 50, "seed": turn + 1}
    return loads.load(sizes.program, "images", fleet.urls, **options)


_LARGE = (OURS, ONE, BALANCED, DISTRIBUTION)
_PAIR = (OURS, DISTRIBUTION)

ROWS = {
    "manifests": Row("GET manifest by tag, 32 connections", "/s", _manifests, _image, goal=3),
    "pulls": Row("GET 256 MiB, 4 streams, no redirect", "MB/s", _pulls, _blob, fleets=(*_LARGE, THREE)),
    "push": Row("push 1 GiB, 1 stream", "MB/s", _push(1), goal=1.2, wait_goal=0.2, fleets=_LARGE, fresh=True),
    "images": Row("push of small images, 16 connections, 50 repositories", "/s", _images, goal=3),
    "crowd": Row("push 1 GiB, 16 streams", "MB/s", _push(16), fleets=_PAIR, rounds=1, fresh=True, memory=1024),
}  # fmt: skip

QUICK_BLOB = 16 << 20
BLOB = GIB
