"""The rows of the table: what is prepared in each registry, what is done, and which goals stand beside it."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import loads
from benchmarks.peers import DISTRIBUTION_2, DISTRIBUTION_3, NGINX, OLAREG, OURS, OURS_LOGGING, ZOT, Running

ALL = (OURS, OURS_LOGGING, DISTRIBUTION_3, DISTRIBUTION_2, OLAREG, ZOT)
PEERS = (OURS, DISTRIBUTION_3, DISTRIBUTION_2, OLAREG, ZOT)
BESIDE_A_LIMIT = (*PEERS, NGINX)
OVER_TLS = (OURS, DISTRIBUTION_3, OLAREG)
BEST = "best peer"


@dataclass(frozen=True, slots=True)
class Bench:
    """What every row needs; `--quick` makes it small."""

    program: Path  # the load generator
    image: Path  # an OCI layout of 12 layers
    seconds: float
    blob: int  # bytes
    blobs: int
    environment: dict[str, str]  # of docker


Work = Callable[[Bench, Running, int], float]
Prepare = Callable[[Bench, Running], None]


@dataclass(frozen=True, slots=True)
class Row:
    """`work` returns what is measured, in `unit`; the number of the round makes content new."""

    name: str
    unit: str
    work: Work
    prepare: Prepare | None = None
    goals: dict[str, float] = field(default_factory=dict)  # ours is at least so many times theirs
    peers: tuple[str, ...] = ALL
    fresh: bool = False  # an empty store for each measurement
    tls: bool = False
    milliseconds: float = 0  # each takes at most so long
    memory: int = 0  # MiB at most
    flat_with: str = ""  # the row that it may be slower than by a fifth


def _image(bench: Bench, running: Running) -> None:  # noqa: ARG001  as `Prepare` has it
    layer = loads.put_blob(running.url, "team/app", b"x" * 1024)
    loads.put_image(running.url, "team/app", "v1", layer, 1024)


def _small_blobs(bench: Bench, running: Running) -> None:
    digests = [loads.put_blob(running.url, "team/app", b"%1024d" % number) for number in range(bench.blobs)]
    (running.data / "paths").write_text("\n".join(f"/v2/team/app/blobs/{digest}" for digest in digests))


def _big_blob(bench: Bench, running: Running) -> None:
    content = bytes(range(256)) * (bench.blob // 256)
    if running.name == NGINX:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        path = running.data / "www" / "v2" / "team" / "big" / "blobs" / digest
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        # Its workers are nobody.
        for folder in [path.parent, *path.parent.parents][:7]:
            folder.chmod(0o755)
    else:
        digest = loads.put_blob(running.url, "team/big", content)
    (running.data / "digest").write_text(digest)


def _push_one(bench: Bench, running: Running) -> None:
    """As `_big_blob`, over TLS."""
    options = {"size": bench.blob, "streams": 1, "seed": 7}
    loads.load(bench.program, "push", running.url, **options)
    (running.data / "digest").write_text(loads.digest_of_push(bench.program, bench.blob, 7))
    (running.data / "repository").write_text("push/r0")


def _requests(method: str) -> Work:
    def work(bench: Bench, running: Running, _: int) -> float:
        stored = running.data / "paths"
        paths = str(stored) if stored.exists() else "/v2/team/app/manifests/v1"
        options = {"method": method, "paths": paths, "streams": 32, "seconds": bench.seconds}
        return loads.load(bench.program, "requests", running.url, **options).rate

    return work


def _blob_path(running: Running) -> str:
    stored = running.data / "repository"
    repository = stored.read_text() if stored.exists() else "team/big"
    return f"/v2/{repository}/blobs/{(running.data / 'digest').read_text()}"


def _pull(streams: int) -> Work:
    def work(bench: Bench, running: Running, _: int) -> float:
        return loads.load(bench.program, "pull", running.url, paths=_blob_path(running), streams=streams).megabytes

    return work


def _push(streams: int, share: float = 1) -> Work:
    def work(bench: Bench, running: Running, turn: int) -> float:
        options = {"size": int(bench.blob * share), "streams": streams, "seed": turn * 1000 + 1}
        return loads.load(bench.program, "push", running.url, **options).megabytes

    return work


def _images(repositories: int) -> Work:
    def work(bench: Bench, running: Running, turn: int) -> float:
        options = {"streams": 16, "repos": repositories, "seconds": bench.seconds, "seed": turn + 1}
        return loads.load(bench.program, "images", running.url, **options).rate

    return work


def _skopeo(bench: Bench, running: Running, turn: int) -> float:
    target = f"docker://{running.url.removeprefix('http://')}/team/skopeo:{turn}"
    begun = time.perf_counter()
    _run("skopeo", "copy", "--insecure-policy", "--dest-tls-verify=false", f"oci:{bench.image}:latest", target)
    return 60 / (time.perf_counter() - begun)


def _docker_push(bench: Bench, running: Running, turn: int) -> float:
    name = _docker_name(running, turn)
    _docker(bench, "tag", "bench:latest", name)
    return _timed(bench, "push", "--quiet", name)


def _docker_pull(bench: Bench, running: Running, turn: int) -> float:
    """The local image and its layers go first; what is timed is the way from the registry into the daemon."""
    name = _docker_name(running, turn)
    _docker(bench, "tag", "bench:latest", name)
    _docker(bench, "push", "--quiet", name)
    # By its id, under whatever names: one that is left would keep the layers.
    _docker(bench, "rmi", "--force", _image_id(bench, name))
    rate = _timed(bench, "pull", "--quiet", name)
    _docker(bench, "tag", name, "bench:latest")
    return rate


def _image_id(bench: Bench, name: str) -> str:
    command = ["docker", "image", "inspect", "--format", "{{.Id}}", name]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=bench.environment).stdout.strip()


def _docker_name(running: Running, turn: int) -> str:
    return f"{running.url.removeprefix('http://')}/team/docker{turn}:v1"


def _docker(bench: Bench, *arguments: str) -> None:
    _run("docker", *arguments, environment=bench.environment)


def _timed(bench: Bench, *arguments: str) -> float:
    begun = time.perf_counter()
    _docker(bench, *arguments)
    return 60 / (time.perf_counter() - begun)


def _run(*command: str, environment: dict[str, str] | None = None) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=600, env=environment or dict(os.environ))


def _fill(tags: int, repositories: int) -> Prepare:
    """Rows put straight into our database, through the program's own modules: pushing them would take hours."""

    def prepare(_: Bench, running: Running) -> None:
        command = [sys.executable, "-m", "benchmarks.fill", str(running.data / "store"), str(tags), str(repositories)]
        subprocess.run(command, check=True, timeout=600)

    return prepare


def _pages(path: str) -> Work:
    def work(bench: Bench, running: Running, _: int) -> float:
        options = {"paths": path, "streams": 1, "seconds": bench.seconds}
        return loads.load(bench.program, "requests", running.url, **options).rate

    return work


def _crowd(bench: Bench, running: Running, turn: int) -> float:
    """64 pulls and 16 pushes at once; what counts is the memory beside the figure."""
    path = _blob_path(running)
    pulling: list[str | Path] = [bench.program, "-mode=pull", f"-base={running.url}", f"-paths={path}", "-streams=64"]
    with subprocess.Popen(pulling, stdout=subprocess.PIPE) as pulls:
        options = {"size": bench.blob // 4, "streams": 16, "seed": turn * 1000 + 1}
        pushed = loads.load(bench.program, "push", running.url, **options)
        output, _ = pulls.communicate(timeout=600)
    pulled = json.loads(output)
    if pulled["errors"]:
        raise SystemExit(f"pulls beside pushes: {pulled}")
    return float(pulled["bytes"] / pulled["seconds"] / 1e6 + pushed.megabytes)


_PUSHED: dict[str, float] = {DISTRIBUTION_3: 1.5, DISTRIBUTION_2: 3}
_SMALL: dict[str, float] = {DISTRIBUTION_3: 4, OLAREG: 1}
_EVERY: dict[str, float] = {BEST: 1}
_THOUSAND = _fill(1000, 1)
_MILLION = _fill(10**6, 1)
_ALONE = (OURS,)
_TAGS = "/v2/big/tags/tags/list?n=100&last="
_MIDDLE = _TAGS + "t0500000"
_CATALOG = "/v2/_catalog?n=100&last=big/r0050000"

ROWS = {
    "1": Row("GET manifest by tag, 32 connections", "/s", _requests("GET"), _image, {DISTRIBUTION_3: 4, OLAREG: 1.1}),
    "2": Row("HEAD manifest by tag, 32 connections", "/s", _requests("HEAD"), _image, {OLAREG: 1.1}),
    "4": Row("GET 1 KiB blobs, 32 conns", "/s", _requests("GET"), _small_blobs, {DISTRIBUTION_3: 20, OLAREG: 1.1}),
    "5a": Row("GET 1 GiB, 1 stream", "MB/s", _pull(1), _big_blob, {BEST: 1.1}, BESIDE_A_LIMIT),
    "5b": Row("GET 1 GiB, 8 streams", "MB/s", _pull(8), _big_blob, {BEST: 1.1}, BESIDE_A_LIMIT),
    "6a": Row("push 1 GiB, 1 stream", "MB/s", _push(1), None, _PUSHED, PEERS, fresh=True),
    "6b": Row("push 1 GiB, 4 streams", "MB/s", _push(4), None, _PUSHED, PEERS, fresh=True),
    "6c": Row("push 256 MiB, 16 streams", "MB/s", _push(16, 1 / 4), None, _PUSHED, PEERS, fresh=True),
    "7a": Row("push 1 GiB, TLS, HTTP/2", "MB/s", _push(1), None, {DISTRIBUTION_3: 1}, OVER_TLS, fresh=True, tls=True),
    "7b": Row("GET 1 GiB, TLS and HTTP/2", "MB/s", _pull(1), _push_one, {DISTRIBUTION_3: 1}, OVER_TLS, tls=True),
    "8a": Row("push of small images, 16 connections", "/s", _images(1), None, _SMALL),
    "8b": Row("push of small images, 50 repositories", "/s", _images(50), None, _SMALL),
    "9a": Row("skopeo copy, 500 MB in 12 layers", "/min", _skopeo, None, _EVERY, PEERS, fresh=True),
    "9b": Row("docker push, 500 MB in 12 layers", "/min", _docker_push, None, _EVERY, PEERS, fresh=True),
    "9c": Row("docker pull, 500 MB in 12 layers", "/min", _docker_pull, None, _EVERY, PEERS, fresh=True),
    "10a": Row("tag list page (100) of 1,000", "/s", _pages(_TAGS + "t0000500"), _THOUSAND, {}, _ALONE),
    "10b": Row("tag list page (100) of 1,000,000", "/s", _pages(_MIDDLE), _MILLION, {}, _ALONE, flat_with="10a"),
    "11": Row("catalog page (100) of 100,000", "/s", _pages(_CATALOG), _fill(1, 100_000), {}, _ALONE, milliseconds=5),
    "12": Row("64 pulls of 1 GiB, 16 pushes", "MB/s", _crowd, _big_blob, {}, (OURS, DISTRIBUTION_3), memory=400),
}  # fmt: skip
