"""podman: push, pull, run, search what is there, with a store of its own."""

from pathlib import Path

import httpx
import pytest

from tests.clients import engines, exactness
from tests.clients.image import GREETING, Image
from tests.clients.programs import Program
from tests.running import Running


@pytest.fixture(scope="module")
def podman(home: Path, image: Image) -> Program:
    podman = engines.podman(home)
    podman("load", "--input", image.archive)
    return podman


def test_an_image_is_pushed_removed_pulled_and_run(
    podman: Program, server: Running, client: httpx.Client, image: Image, tmp_path: Path
) -> None:
    name = f"{server.host}/podman/image:1"
    podman("push", "--tls-verify=false", "--digestfile", tmp_path / "digest", image.name, name)
    podman("rmi", image.name)
    podman("pull", "--tls-verify=false", name)
    printed = podman("run", "--rm", "--network", "host", *engines.within_limits(), name)
    podman("tag", name, image.name)
    podman("rmi", name)

    assert exactness.read(client, "podman/image", "1").digest == (tmp_path / "digest").read_text()
    assert printed == f"{GREETING}\n"


def test_an_image_is_pulled_by_its_digest(podman: Program, server: Running, client: httpx.Client, image: Image) -> None:
    name = f"{server.host}/podman/digest"
    podman("push", "--tls-verify=false", "--format", "oci", image.name, f"{name}:1")
    held = exactness.read(client, "podman/digest", "1")
    podman("pull", "--tls-verify=false", f"{name}@{held.digest}")
    podman("rmi", f"{name}@{held.digest}")

    assert held.media_type == "application/vnd.oci.image.manifest.v1+json"


def test_repositories_are_found_in_the_catalog(podman: Program, server: Running, image: Image) -> None:
    podman("push", "--tls-verify=false", image.name, f"{server.host}/podman/searched:1")
    found = podman("search", "--tls-verify=false", f"{server.host}/podman/searched")
    tags = podman("search", "--tls-verify=false", "--list-tags", f"{server.host}/podman/searched")

    assert f"{server.host}/podman/searched" in found
    assert tags.splitlines()[1].split()[-1] == "1"
