"""Real clients through the balancer: each request reaches another of three nodes, and blobs come from the store."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.clients import docker_clients, exactness
from tests.clients.dockerd import Dockerd
from tests.clients.image import GREETING, Image
from tests.clients.programs import program
from tests.cluster.topology import Cluster, Shared, cluster
from tests.servers import postgresql as postgresql_server
from tests.servers import s3 as s3_server
from tests.servers import toxiproxy as toxiproxy_server


@pytest.fixture(scope="module", params=["on", "off"], ids=["redirects", "no redirects"])
def whole(
    request: pytest.FixtureRequest,
    postgresql: postgresql_server.Cluster,
    s3: s3_server.Server,
    toxiproxy: toxiproxy_server.Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Cluster]:
    shared = Shared(postgresql, s3, toxiproxy)
    settings = {"PIERHEAD_STORAGE_REDIRECT": request.param}
    with cluster(tmp_path_factory.mktemp("nodes"), shared, settings=settings) as whole:
        yield whole


@pytest.fixture
def registry(whole: Cluster) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{whole.balancer}", timeout=30, follow_redirects=True) as client:
        yield client


def test_docker_pushes_removes_pulls_and_runs(
    whole: Cluster, registry: httpx.Client, image: Image, home: Path, dockerd: Dockerd
) -> None:
    docker = docker_clients.docker(docker_clients.paths()[0], home, dockerd)
    name = f"{whole.balancer}/balanced/docker:1"
    docker("load", "--input", image.archive)
    docker("tag", image.name, name)
    docker("push", name)
    held = exactness.read(registry, "balanced/docker", "1")
    docker("rmi", name, image.name)
    pulled = docker("pull", name)
    printed = docker("run", "--rm", "--network", "host", name)
    docker("rmi", name)

    assert f"Digest: {held.digest}" in pulled
    assert printed == f"{GREETING}\n"


def test_skopeo_brings_a_layout_back_as_it_went(
    whole: Cluster, registry: httpx.Client, image: Image, tmp_path: Path
) -> None:
    skopeo = program("skopeo", tmp_path)
    name = f"docker://{whole.balancer}/balanced/skopeo:1"
    skopeo("copy", "--dest-tls-verify=false", f"oci:{image.layout}:latest", name)
    skopeo("copy", "--src-tls-verify=false", name, f"oci:{tmp_path}/back:latest")

    assert exactness.read(registry, "balanced/skopeo", "1").digest == image.digest
    assert blobs(tmp_path / "back") == blobs(image.layout)


def test_crane_brings_a_layout_back_as_it_went(
    whole: Cluster, registry: httpx.Client, image: Image, tmp_path: Path
) -> None:
    crane = program("crane", tmp_path)
    name = f"{whole.balancer}/balanced/crane:1"
    crane("push", image.layout, name)
    crane("validate", "--remote", name)
    crane("pull", "--format", "oci", name, tmp_path / "back")

    assert exactness.read(registry, "balanced/crane", "1").digest == image.digest
    assert blobs(tmp_path / "back") == blobs(image.layout)


def test_containerd_pushes_removes_pulls_and_runs(
    whole: Cluster, registry: httpx.Client, image: Image, tmp_path: Path, containerd: str
) -> None:
    ctr = program("ctr", tmp_path, "--address", containerd, "--namespace", "balanced")
    name = f"{whole.balancer}/balanced/containerd"
    program("tar", tmp_path)("-C", image.layout, "-cf", tmp_path / "layout.tar", ".")
    ctr("images", "import", "--snapshotter", "native", "--base-name", name, tmp_path / "layout.tar")
    ctr("images", "push", "--plain-http", f"{name}:latest")
    ctr("images", "rm", "--sync", f"{name}:latest")
    ctr("images", "pull", "--snapshotter", "native", "--plain-http", f"{name}:latest")
    printed = ctr("run", "--rm", "--snapshotter", "native", "--net-host", f"{name}:latest", "greeting")
    ctr("images", "rm", "--sync", f"{name}:latest")

    assert exactness.read(registry, "balanced/containerd", "latest").digest == image.digest
    assert printed == f"{GREETING}\n"


def test_large_blobs_are_served_as_the_setting_says(whole: Cluster, image: Image, tmp_path: Path) -> None:
    program("crane", tmp_path)("push", image.layout, f"{whole.balancer}/balanced/redirected:1")
    with httpx.Client(base_url=f"http://{whole.balancer}") as client:
        document = client.get("/v2/balanced/redirected/manifests/1").json()
        largest = max(document["layers"], key=lambda layer: int(layer["size"]))
        statuses = {client.get(f"/v2/balanced/redirected/blobs/{largest['digest']}").status_code for _ in range(6)}

    assert statuses == {307 if whole.nodes[0].environment["PIERHEAD_STORAGE_REDIRECT"] == "on" else 200}


def blobs(layout: Path) -> dict[str, bytes]:
    return {blob.name: blob.read_bytes() for blob in (layout / "blobs/sha256").iterdir()}
