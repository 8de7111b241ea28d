"""crane: images made, changed, indexed and copied in the registry."""

import hashlib
from pathlib import Path

import httpx
import pytest

from tests.clients import exactness
from tests.clients.image import Image
from tests.clients.programs import Program, program
from tests.running import Running


@pytest.fixture(scope="module")
def crane(home: Path) -> Program:
    return program("crane", home)


@pytest.fixture(scope="module")
def name(crane: Program, server: Running, image: Image) -> str:
    name = f"{server.host}/crane/image:1"
    crane("push", image.layout, name)
    return name


def test_an_image_comes_back_as_it_went(
    crane: Program, name: str, client: httpx.Client, image: Image, tmp_path: Path
) -> None:
    crane("pull", "--format", "oci", name, tmp_path / "back")
    crane("validate", "--remote", name)

    assert exactness.read(client, "crane/image", "1").digest == image.digest
    sent = {blob.name: blob.read_bytes() for blob in (image.layout / "blobs/sha256").iterdir()}
    assert {blob.name: blob.read_bytes() for blob in (tmp_path / "back/blobs/sha256").iterdir()} == sent


def test_tags_repositories_and_digests_are_told(crane: Program, name: str, server: Running, image: Image) -> None:
    assert crane("ls", f"{server.host}/crane/image").split() == ["1"]
    assert "crane/image" in crane("catalog", server.host).split()
    assert crane("digest", name).strip() == image.digest
    assert hashlib.sha256(crane("manifest", name).encode()).hexdigest() == image.digest.partition(":")[2]


def test_a_copy_is_mounted_and_identical(crane: Program, name: str, server: Running, client: httpx.Client) -> None:
    said = crane.attempt("copy", name, f"{server.host}/crane/copy:1").stderr.decode()

    assert exactness.read(client, "crane/copy", "1") == exactness.read(client, "crane/image", "1")
    assert "mounted blob" in said
    assert "pushed blob" not in said


def test_a_layer_is_appended(crane: Program, name: str, server: Running, client: httpx.Client, image: Image) -> None:
    crane("append", "-b", name, "-f", image.layers[1], "-t", f"{server.host}/crane/changed:appended")

    held = exactness.read(client, "crane/changed", "appended")
    assert held.layers[:-1] == exactness.read(client, "crane/image", "1").layers


def test_a_label_is_added_and_an_index_holds_both_images(
    crane: Program, name: str, server: Running, client: httpx.Client, image: Image
) -> None:
    labelled = f"{server.host}/crane/changed:labelled"
    crane("mutate", name, "--label", "pier=head", "--tag", labelled)
    crane("index", "append", "-m", name, "-m", labelled, "-t", f"{server.host}/crane/changed:index")

    children = exactness.read(client, "crane/changed", "index").children
    assert [child.digest for child in children] == [
        image.digest,
        exactness.read(client, "crane/changed", "labelled").digest,
    ]


def test_a_tag_is_deleted_and_the_image_stays(
    crane: Program, name: str, server: Running, client: httpx.Client, image: Image
) -> None:
    crane("copy", name, f"{server.host}/crane/deleted:1")
    crane("delete", f"{server.host}/crane/deleted:1")
    refused = crane.refused("manifest", f"{server.host}/crane/deleted:1")
    exactness.read(client, "crane/deleted", image.digest)
    crane("delete", f"{server.host}/crane/deleted@{image.digest}")

    assert "MANIFEST_UNKNOWN" in refused
    assert client.get(f"/v2/crane/deleted/manifests/{image.digest}").status_code == 404
