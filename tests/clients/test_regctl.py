"""regctl: copies, tags, chunked blobs, artifacts and what refers to what."""

import hashlib
import json
from pathlib import Path

import httpx
import pytest

from tests.clients import exactness, requests
from tests.clients.image import Image
from tests.clients.programs import Program, program
from tests.running import Running


@pytest.fixture(scope="module")
def regctl(home: Path, server: Running) -> Program:
    regctl = program("regctl", home)
    # Past 256 KiB it pushes in chunks, of as much.
    sizes = ("--blob-max", str(1 << 18), "--blob-chunk", str(1 << 18))
    regctl("registry", "set", "--skip-check", "--tls", "disabled", *sizes, server.host)
    return regctl


@pytest.fixture(scope="module")
def name(regctl: Program, server: Running, image: Image) -> str:
    name = f"{server.host}/regctl/image:1"
    regctl("image", "copy", f"ocidir://{image.layout}:latest", name)
    return name


def test_an_image_comes_back_as_it_went(
    regctl: Program, name: str, client: httpx.Client, image: Image, tmp_path: Path
) -> None:
    regctl("image", "copy", name, f"ocidir://{tmp_path}/back:latest")

    assert exactness.read(client, "regctl/image", "1").digest == image.digest
    sent = {blob.name: blob.read_bytes() for blob in (image.layout / "blobs/sha256").iterdir()}
    assert {blob.name: blob.read_bytes() for blob in (tmp_path / "back/blobs/sha256").iterdir()} == sent


def test_a_blob_is_put_in_chunks(regctl: Program, server: Running, client: httpx.Client, image: Image) -> None:
    content = image.layers[1].read_bytes()
    digest = regctl("blob", "put", f"{server.host}/regctl/chunks", stdin=content).strip()
    back = client.get(f"/v2/regctl/chunks/blobs/{digest}").content

    asked = requests.made(server.log, "regctl/chunks", until="finish_upload")
    chunks = [line for line in asked if line["operation"] == "append_to_upload"]
    assert digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert back == content
    assert len(chunks) >= 4


def test_tags_are_listed_and_deleted_one_by_one(
    regctl: Program, name: str, server: Running, client: httpx.Client, image: Image
) -> None:
    repository = f"{server.host}/regctl/tags"
    for tag in ("1", "2"):
        regctl("image", "copy", name, f"{repository}:{tag}")
    before = regctl("tag", "ls", repository).split()
    regctl("tag", "delete", f"{repository}:1")

    assert before == ["1", "2"]
    assert regctl("tag", "ls", repository).split() == ["2"]
    assert exactness.read(client, "regctl/tags", "2").digest == image.digest


def test_an_artifact_with_a_subject_is_listed_among_its_referrers(
    regctl: Program, name: str, client: httpx.Client, image: Image
) -> None:
    regctl("artifact", "put", "--artifact-type", "application/x.bill", "--subject", name, stdin=b"{}")
    regctl("artifact", "put", "--artifact-type", "application/x.other", "--subject", name, stdin=b"[]")
    listed = json.loads(regctl("artifact", "list", "--format", "{{json .}}", name))
    wanted = ("--filter-artifact-type", "application/x.bill", "--format", "{{json .}}")
    filtered = json.loads(regctl("artifact", "list", *wanted, name))
    fetched = regctl("artifact", "get", "--subject", name, "--filter-artifact-type", "application/x.bill")

    assert {found["artifactType"] for found in listed["descriptors"]} == {"application/x.bill", "application/x.other"}
    assert [found["artifactType"] for found in filtered["descriptors"]] == ["application/x.bill"]
    assert fetched == "{}"
    bill = exactness.read(client, "regctl/image", filtered["descriptors"][0]["digest"])
    assert bill.document["subject"]["digest"] == image.digest


def test_an_index_is_created_and_digests_agree(
    regctl: Program, name: str, server: Running, client: httpx.Client, image: Image
) -> None:
    index = f"{server.host}/regctl/image:index"
    regctl("index", "create", index, "--ref", name, "--platform", "linux/amd64")

    held = exactness.read(client, "regctl/image", "index")
    assert [child.digest for child in held.children] == [image.digest]
    assert regctl("manifest", "head", index).strip() == held.digest
    assert regctl("image", "digest", name).strip() == image.digest


def test_repositories_are_listed(regctl: Program, name: str, server: Running) -> None:
    assert "regctl/image" in regctl("repo", "ls", server.host).split()
