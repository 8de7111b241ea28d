"""docker with a real daemon, through every CLI of the machine."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.clients import docker_clients, exactness
from tests.clients.dockerd import Dockerd
from tests.clients.image import GREETING, Image
from tests.clients.programs import Program, program
from tests.running import Running


@pytest.fixture(scope="module", params=docker_clients.paths())
def docker(request: pytest.FixtureRequest, home: Path, dockerd: Dockerd, image: Image) -> Program:
    docker = docker_clients.docker(request.param, home, dockerd)
    docker("load", "--input", image.archive)
    return docker


@pytest.fixture(scope="module")
def project(docker: Program) -> str:
    """Repositories of its own for each CLI."""
    return "local" if "/local/" in str(docker.path) else "debian"


@pytest.fixture
def name(server: Running, project: str, docker: Program, image: Image, request: pytest.FixtureRequest) -> Iterator[str]:
    """The image's name in a repository that is this test's alone; the daemon forgets it in the end."""
    name = f"{server.host}/{project}/{re.sub('[^a-z]+', '-', request.node.originalname)}:1"
    docker("tag", image.name, name)
    yield name
    docker.attempt("rmi", name)


def repository(name: str) -> str:
    return name.partition("/")[2].rpartition(":")[0]


def test_an_image_is_pushed_removed_pulled_and_run(
    docker: Program, name: str, client: httpx.Client, image: Image
) -> None:
    pushed = docker("push", name)
    held = exactness.read(client, repository(name), "1")
    docker("rmi", name, image.name)
    pulled = docker("pull", name)
    printed = docker("run", "--rm", "--network", "host", name)
    docker("tag", name, image.name)

    assert f"1: digest: {held.digest}" in pushed
    assert len(held.layers) == len(image.layers)
    assert f"Digest: {held.digest}" in pulled
    assert "Downloaded newer image" in pulled
    assert printed == f"{GREETING}\n"


def test_a_second_push_skips_every_layer(docker: Program, name: str, image: Image) -> None:
    docker("push", name)
    again = docker("push", name)

    assert again.count("Layer already exists") == len(image.layers)
    assert "Pushed" not in again


def test_a_push_to_a_second_repository_mounts_the_layers(
    docker: Program, name: str, client: httpx.Client, image: Image, project: str
) -> None:
    docker("push", name)
    other = name.replace(f"/{project}/", f"/{project}/other/")
    docker("tag", name, other)
    pushed = docker("push", other)
    docker("rmi", other)

    # From this repository, or from another one that the daemon pushed the same layers to.
    assert pushed.count("Mounted from") == len(image.layers)
    assert "Pushed" not in pushed
    assert exactness.read(client, repository(other), "1") == exactness.read(client, repository(name), "1")


def test_an_image_is_pulled_by_its_digest(docker: Program, name: str, client: httpx.Client) -> None:
    docker("push", name)
    held = exactness.read(client, repository(name), "1")
    docker("rmi", name)
    by_digest = f"{name.rpartition(':')[0]}@{held.digest}"
    pulled = docker("pull", by_digest)
    printed = docker("run", "--rm", "--network", "host", by_digest)
    docker("rmi", by_digest)

    assert f"Digest: {held.digest}" in pulled
    assert printed == f"{GREETING}\n"


def test_what_was_deleted_is_not_pulled_any_more_and_docker_says_how_it_comes_back(
    docker: Program, name: str, client: httpx.Client
) -> None:
    docker("push", name)
    docker("rmi", name)
    held = exactness.read(client, repository(name), "1")
    deleted = client.delete(f"/v2/{repository(name)}/manifests/{held.digest}")
    refused = docker.refused("pull", name)
    never = docker.refused("pull", f"{name}.2")

    assert deleted.status_code == 202
    assert re.search(r"manifest (for \S+ )?(not found|unknown)", refused), refused
    assert f"pierhead restore {repository(name)}:1" in refused
    assert re.search(r"manifest (for \S+ )?(not found|unknown)", never), never
    assert "the repository holds no such manifest" in never


def test_a_manifest_is_inspected_without_pulling_it(docker: Program, name: str) -> None:
    docker("push", name)
    inspected = docker("manifest", "inspect", "--insecure", name)

    assert "application/vnd.docker.distribution.manifest.v2+json" in inspected


def test_a_manifest_list_is_made_pushed_and_pulled_from(docker: Program, name: str, client: httpx.Client) -> None:
    both = f"{name}-list"
    docker("push", name)
    docker("manifest", "create", "--insecure", both, name)
    docker("manifest", "annotate", both, name, "--os-features", "pier")
    docker("manifest", "push", "--insecure", both)
    docker("rmi", name)
    docker("pull", both)
    printed = docker("run", "--rm", "--network", "host", both)
    docker("rmi", both)

    held = exactness.read(client, repository(name), "1-list")
    assert held.media_type == "application/vnd.docker.distribution.manifest.list.v2+json"
    assert [child.digest for child in held.children] == [exactness.read(client, repository(name), "1").digest]
    assert printed == f"{GREETING}\n"


def test_an_oci_image_that_another_client_pushed_is_pulled_and_run(
    docker: Program, server: Running, project: str, home: Path, image: Image
) -> None:
    crane = program("crane", home)
    foreign = f"{server.host}/{project}/foreign"
    crane("push", image.layout, f"{foreign}:one")
    crane("index", "append", "-m", f"{foreign}:one", "-t", f"{foreign}:index")
    docker("pull", f"{foreign}:index")
    printed = docker("run", "--rm", "--network", "host", f"{foreign}:index")
    docker("rmi", f"{foreign}:index")

    assert printed == f"{GREETING}\n"
