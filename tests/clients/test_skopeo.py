"""skopeo: between a registry and folders, in both formats."""

import json
from pathlib import Path

import httpx
import pytest

from tests.clients import exactness
from tests.clients.image import Image
from tests.clients.programs import Program, program
from tests.running import Running

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@pytest.fixture
def skopeo(tmp_path: Path) -> Program:
    return program("skopeo", tmp_path)


@pytest.fixture
def layout(image: Image) -> str:
    return f"oci:{image.layout}:latest"


def to(server: Running, name: str) -> tuple[str, str]:
    return ("--dest-tls-verify=false", f"docker://{server.host}/{name}")


def test_an_oci_layout_comes_back_as_it_went(
    skopeo: Program, layout: str, *, server: Running, client: httpx.Client, image: Image, tmp_path: Path
) -> None:
    skopeo("copy", layout, *to(server, "skopeo/oci:1"))
    skopeo("copy", "--src-tls-verify=false", f"docker://{server.host}/skopeo/oci:1", f"oci:{tmp_path}/back:latest")

    assert exactness.read(client, "skopeo/oci", "1").digest == image.digest
    sent = {blob.name: blob.read_bytes() for blob in (image.layout / "blobs/sha256").iterdir()}
    assert {blob.name: blob.read_bytes() for blob in (tmp_path / "back/blobs/sha256").iterdir()} == sent


def test_a_folder_in_docker_format_is_pushed_and_fetched(
    skopeo: Program, layout: str, server: Running, client: httpx.Client, tmp_path: Path
) -> None:
    skopeo("copy", "--format", "v2s2", layout, f"dir:{tmp_path}/one")
    skopeo("copy", f"dir:{tmp_path}/one", *to(server, "skopeo/dir:1"))
    skopeo("copy", "--src-tls-verify=false", f"docker://{server.host}/skopeo/dir:1", f"dir:{tmp_path}/two")

    assert exactness.read(client, "skopeo/dir", "1").media_type == DOCKER_MANIFEST
    assert (tmp_path / "two/manifest.json").read_bytes() == (tmp_path / "one/manifest.json").read_bytes()


def test_an_index_is_copied_whole(
    skopeo: Program, layout: str, server: Running, client: httpx.Client, tmp_path: Path
) -> None:
    skopeo("copy", layout, *to(server, "skopeo/many:one"))
    program("crane", tmp_path)(
        "index", "append", "-m", f"{server.host}/skopeo/many:one", "-t", f"{server.host}/skopeo/many:all"
    )
    source = ("--src-tls-verify=false", f"docker://{server.host}/skopeo/many:all")
    skopeo("copy", "--all", *source, *to(server, "skopeo/copied:all"))

    # Debian's skopeo writes the index anew, without the fields that it does not know; the images stay.
    copied = exactness.read(client, "skopeo/copied", "all")
    assert len(copied.children) == 1
    assert copied.children == exactness.read(client, "skopeo/many", "all").children


def test_an_image_is_inspected_and_its_tags_are_listed(
    skopeo: Program, layout: str, server: Running, image: Image
) -> None:
    for tag in ("1", "2", "latest"):
        skopeo("copy", layout, *to(server, f"skopeo/listed:{tag}"))
    inspected = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{server.host}/skopeo/listed:2"))
    listed = json.loads(skopeo("list-tags", "--tls-verify=false", f"docker://{server.host}/skopeo/listed"))

    assert inspected["Digest"] == image.digest
    assert inspected["RepoTags"] == ["1", "2", "latest"]
    assert len(inspected["Layers"]) == len(image.layers)
    assert listed["Tags"] == ["1", "2", "latest"]


def test_a_deleted_image_is_gone(skopeo: Program, layout: str, server: Running, client: httpx.Client) -> None:
    skopeo("copy", layout, *to(server, "skopeo/deleted:1"))
    skopeo("delete", "--tls-verify=false", f"docker://{server.host}/skopeo/deleted:1")
    refused = skopeo.refused("inspect", "--tls-verify=false", f"docker://{server.host}/skopeo/deleted:1")

    assert client.get("/v2/skopeo/deleted/manifests/1").status_code == 404
    assert "manifest unknown" in refused or "no such manifest" in refused


def test_a_repository_is_synced_to_a_folder_and_from_it_to_another(
    skopeo: Program, layout: str, server: Running, client: httpx.Client, tmp_path: Path
) -> None:
    for tag in ("1", "2"):
        skopeo("copy", layout, *to(server, f"skopeo/synced:{tag}"))
    skopeo(
        *("sync", "--src-tls-verify=false", "--src", "docker", "--dest", "dir"),
        *(f"{server.host}/skopeo/synced", tmp_path / "folder"),
    )
    skopeo(
        *("sync", "--dest-tls-verify=false", "--src", "dir", "--dest", "docker"),
        *(tmp_path / "folder", f"{server.host}/skopeo/again"),
    )

    for tag in ("1", "2"):
        assert exactness.read(client, "skopeo/again/synced", tag) == exactness.read(client, "skopeo/synced", tag)
