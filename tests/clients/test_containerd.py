"""containerd through ctr, which pushes, pulls and runs over plain HTTP."""

from pathlib import Path

import httpx
import pytest

from tests.clients import exactness
from tests.clients.image import GREETING, Image
from tests.clients.programs import Program, program
from tests.running import Running


@pytest.fixture(scope="module")
def ctr(home: Path, containerd: str) -> Program:
    return program("ctr", home, "--address", containerd)


@pytest.fixture(scope="module")
def archive(home: Path, image: Image) -> Path:
    program("tar", home)("-C", image.layout, "-cf", home / "layout.tar", ".")
    return home / "layout.tar"


def test_an_image_is_pushed_removed_pulled_and_run(
    ctr: Program, archive: Path, server: Running, client: httpx.Client, image: Image
) -> None:
    name = f"{server.host}/containerd/image"
    ctr("images", "import", "--snapshotter", "native", "--base-name", name, archive)
    ctr("images", "push", "--plain-http", f"{name}:latest")
    ctr("images", "rm", "--sync", f"{name}:latest")
    ctr("images", "pull", "--snapshotter", "native", "--plain-http", f"{name}:latest")
    printed = ctr("run", "--rm", "--snapshotter", "native", "--net-host", f"{name}:latest", "greeting")

    assert exactness.read(client, "containerd/image", "latest").digest == image.digest
    assert printed == f"{GREETING}\n"


def test_a_second_repository_gets_the_layers_by_mounting(
    ctr: Program, archive: Path, server: Running, client: httpx.Client
) -> None:
    for repository in ("containerd/first", "containerd/second"):
        name = f"{server.host}/{repository}"
        ctr("images", "import", "--snapshotter", "native", "--base-name", name, archive)
        ctr("images", "push", "--plain-http", f"{name}:latest")

    assert exactness.read(client, "containerd/second", "latest") == exactness.read(client, "containerd/first", "latest")


def test_an_image_is_pulled_by_its_digest(
    ctr: Program, archive: Path, server: Running, client: httpx.Client, image: Image
) -> None:
    name = f"{server.host}/containerd/digest"
    ctr("images", "import", "--snapshotter", "native", "--base-name", name, archive)
    ctr("images", "push", "--plain-http", f"{name}:latest")
    ctr("images", "rm", "--sync", f"{name}:latest")
    ctr("images", "pull", "--snapshotter", "native", "--plain-http", f"{name}@{image.digest}")

    assert exactness.read(client, "containerd/digest", image.digest).digest == image.digest
