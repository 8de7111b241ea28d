"""Pushes that are broken in the middle, by a lost connection and by a server that dies, through each client.

Whatever a client does about it - carry on where the server is, send the layer again, or
give up until it is called again - what is there in the end is exact.

Each client meets one of the two breaks, by a seed that is printed; with SOAK=1 both. PIERHEAD_CLIENTS_SEED repeats one.
"""

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients import docker_clients, engines, exactness, requests
from tests.clients.image import MEBIBYTE, Image
from tests.clients.interruption import Wire, breaking
from tests.clients.programs import program, said
from tests.profiles import SOAK
from tests.running import START_SECONDS, Running, start

BREAKS_AFTER = 30 * MEBIBYTE  # of some 60
CHUNK = 4 * MEBIBYTE  # no config is as long
MOST_RUNS = 3
SEED = int(os.environ.get("PIERHEAD_CLIENTS_SEED") or random.SystemRandom().randrange(10**9))
REPOSITORY = "broken/image"

Push = Callable[[str], subprocess.CompletedProcess[bytes]]


@dataclass(slots=True)
class Mortal:
    """A server that can be killed, and lives again on the same port and data."""

    data: Path
    running: Running = field(init=False)

    def __post_init__(self) -> None:
        self.running = self._start(None)

    def _start(self, port: int | None) -> Running:
        return start(self.data, "--workers", "2", "--access-log", "all", port=port)

    @property
    def port(self) -> int:
        return int(self.running.host.partition(":")[2])

    def die_and_rise(self) -> None:
        self.running.process.kill()
        self.running.process.wait()
        self.running = self._start(self.port)


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Mortal]:
    mortal = Mortal(tmp_path / "server/data")
    yield mortal
    mortal.running.stop()


def by_docker(host: str, image: Image, home: Path, request: pytest.FixtureRequest) -> Push:
    docker = docker_clients.docker(docker_clients.paths()[0], home, request.getfixturevalue("dockerd"))
    name = f"{host}/{REPOSITORY}:1"
    docker("load", "--input", image.archive)
    docker("tag", image.name, name)
    request.addfinalizer(lambda: docker("rmi", name, image.name))
    return lambda name: docker.attempt("push", name)


def by_containerd(host: str, image: Image, home: Path, request: pytest.FixtureRequest) -> Push:
    address = request.getfixturevalue("containerd")
    ctr = program("ctr", home, "--address", address, "--namespace", "broken")
    program("tar", home)("-C", image.layout, "-cf", home / "layout.tar", ".")
    base = ("--base-name", f"{host}/{REPOSITORY}", "--snapshotter", "native")
    ctr("images", "import", *base, "--digests=false", home / "layout.tar")
    ctr("images", "tag", f"{host}/{REPOSITORY}:latest", f"{host}/{REPOSITORY}:1")
    request.addfinalizer(lambda: ctr("images", "rm", f"{host}/{REPOSITORY}:1", f"{host}/{REPOSITORY}:latest"))
    return lambda name: ctr.attempt("images", "push", "--plain-http", name)


def by_skopeo(_host: str, image: Image, home: Path, _request: pytest.FixtureRequest) -> Push:
    copy = ("copy", "--retry-times", "3", "--dest-tls-verify=false", f"oci:{image.layout}:latest")
    return lambda name: program("skopeo", home).attempt(*copy, f"docker://{name}")


def by_buildah(_host: str, image: Image, home: Path, _request: pytest.FixtureRequest) -> Push:
    buildah = engines.buildah(home)
    pulled = buildah("pull", "--quiet", f"oci:{image.layout}:latest").strip()
    return lambda name: buildah.attempt("push", "--tls-verify=false", pulled, f"docker://{name}")


def by_podman(_host: str, image: Image, home: Path, _request: pytest.FixtureRequest) -> Push:
    podman = engines.podman(home)
    podman("load", "--input", image.archive)
    return lambda name: podman.attempt("push", "--tls-verify=false", image.name, name)


def by_crane(_host: str, image: Image, home: Path, _request: pytest.FixtureRequest) -> Push:
    return lambda name: program("crane", home).attempt("push", image.layout, name)


def by_oras(_host: str, image: Image, home: Path, _request: pytest.FixtureRequest) -> Push:
    copy = ("cp", "--to-plain-http", "--from-oci-layout", f"{image.layout}:latest")
    return lambda name: program("oras", home).attempt(*copy, name)


def by_regctl(host: str, image: Image, home: Path, _request: pytest.FixtureRequest) -> Push:
    regctl = program("regctl", home)
    regctl("registry", "set", "--skip-check", "--tls", "disabled", host)
    return lambda name: regctl.attempt("image", "copy", f"ocidir://{image.layout}:latest", name)


def by_regctl_in_chunks(host: str, image: Image, home: Path, _request: pytest.FixtureRequest) -> Push:
    regctl = program("regctl", home)
    sizes = ("--blob-max", str(MEBIBYTE), "--blob-chunk", str(4 * MEBIBYTE))
    regctl("registry", "set", "--skip-check", "--tls", "disabled", *sizes, host)
    return lambda name: regctl.attempt("image", "copy", f"ocidir://{image.layout}:latest", name)


@dataclass(frozen=True, slots=True)
class Client:
    """How a client meets a break: how often it has to be called, at most, and whether its sessions go on."""

    pushes: Callable[[str, Image, Path, pytest.FixtureRequest], Push]
    runs: int
    resumes: bool = False


CLIENTS = {
    "docker": Client(by_docker, runs=1),
    "containerd": Client(by_containerd, runs=2),
    "skopeo": Client(by_skopeo, runs=2),
    "buildah": Client(by_buildah, runs=2),
    "podman": Client(by_podman, runs=2),
    "crane": Client(by_crane, runs=1),
    "oras": Client(by_oras, runs=2),
    "regctl": Client(by_regctl, runs=1),
    "regctl in chunks": Client(by_regctl_in_chunks, runs=1, resumes=True),
}


def _sampled() -> list[tuple[str, bool]]:
    """Client, and whether the server is killed."""
    chance = random.Random(SEED)
    return [(name, killed) for name in CLIENTS for killed in ((False, True) if SOAK else (chance.random() < 0.5,))]


@pytest.mark.parametrize(
    ("name", "killed"), [pytest.param(*case, id=f"{case[0]}-{'killed' if case[1] else 'cut'}") for case in _sampled()]
)
def test_an_interrupted_push_ends_well(
    name: str, *, killed: bool, mortal: Mortal, large_image: Image, fresh_home: Path,
    request: pytest.FixtureRequest, announce: Callable[[str], None],
) -> None:  # fmt: skip
    client = CLIENTS[name]
    with breaking(mortal.port, after=BREAKS_AFTER, then=mortal.die_and_rise if killed else nothing) as wire:
        push = client.pushes(wire.host, large_image, fresh_home, request)
        runs = push_until_done(push, wire)

    with httpx.Client(base_url=mortal.running.url, timeout=30) as registry:
        held = exactness.read(registry, REPOSITORY, "1")
    asked = requests.made(mortal.running.log, REPOSITORY, until="get_manifest")
    smallest = min(layer.stat().st_size for layer in large_image.layers)
    resumed = any(went_on(asked, session, wire.broken_at if killed else None, smallest) for session in finished(asked))
    announce(
        f"{name}, {'server killed' if killed else 'connection cut'} (PIERHEAD_CLIENTS_SEED={SEED}): "
        f"{len(runs)} run{'s' if len(runs) > 1 else ''}, {'resumed' if resumed else 'layers sent again'}, "
        f"{wire.sent / MEBIBYTE:.0f} MiB sent for {size(held) / MEBIBYTE:.0f}"
    )
    assert wire.broken.is_set()
    assert len(held.layers) == len(large_image.layers)
    assert len(runs) <= client.runs, "\n".join(runs)
    # A cut may come before the server read a byte of the request; a kill meets every session.
    assert resumed or not (client.resumes and killed)


def nothing() -> None:
    """The connection is lost, and that is all."""


def push_until_done(push: Push, wire: Wire) -> list[str]:
    """What each run said; the last one succeeded. Who calls again waits until the server is back."""
    outputs = []
    for _ in range(MOST_RUNS):
        ran = push(f"{wire.host}/{REPOSITORY}:1")
        outputs.append(said(ran)[-3000:])
        if ran.returncode == 0:
            return outputs
        wire.mended.wait(START_SECONDS)
    raise AssertionError("\n".join(outputs))


def size(held: exactness.Held) -> int:
    return sum(layer["size"] for layer in held.document["layers"])


def finished(asked: list[dict[str, Any]]) -> set[str]:
    return {line["reference"] for line in asked if line["operation"] == "finish_upload" and line["status"] == 201}


def went_on(asked: list[dict[str, Any]], session: str, broken_at: float | None, smallest: int) -> bool:
    """Whether bytes that a session accepted before it was interrupted are part of what it became.

    A server that is killed takes its last lines along; then too few bytes came after it for a whole layer.
    """
    mine = [line for line in asked if line["reference"] == session]
    failed = [str(line["time"]) for line in mine if line["status"] >= 400]
    if not failed and broken_at is None:
        return False
    moment = failed[0] if failed else datetime.fromtimestamp(broken_at or 0, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    accepted = [str(line["time"]) for line in mine if line["status"] < 300 and line["bytes_in"]]
    before = any(time < moment for time in accepted)
    after = sum(line["bytes_in"] for line in mine if line["status"] < 300 and str(line["time"]) > moment)
    return (before and after > 0) or (broken_at is not None and CHUNK <= after < smallest)
