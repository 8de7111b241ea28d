"""Blobs and manifests that are not what they were: not served, and healed by the next push."""

import hashlib
import json
import os
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.moving.damage import files, flip
from tests.running import Running, serving

LARGE = random.Random(31).randbytes(100_000)
SMALL = b"beside its row"
OCI_IMAGE = "application/vnd.oci.image.manifest.v1+json"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with serving(tmp_path / "data", "--workers", "2") as running:
        yield running


@pytest.fixture
def client(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for content in (LARGE, SMALL):
            assert push(client, content).status_code == 201
        yield client


def push(client: httpx.Client, content: bytes, repository: str = "team/app") -> httpx.Response:
    return client.post(f"/v2/{repository}/blobs/uploads/", params={"digest": digest_of(content)}, content=content)


def blob(content: bytes, repository: str = "team/app") -> str:
    return f"/v2/{repository}/blobs/{digest_of(content)}"


def put_manifest(client: httpx.Client) -> httpx.Response:
    def descriptor(content: bytes) -> dict[str, object]:
        return {"mediaType": "application/octet-stream", "digest": digest_of(content), "size": len(content)}

    document = {
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE,
        "config": descriptor(SMALL),
        "layers": [descriptor(LARGE)],
    }
    return client.put("/v2/team/app/manifests/1", content=json.dumps(document), headers={"content-type": OCI_IMAGE})


def file_of(server: Running, content: bytes) -> Path:
    return files(server.data)[digest_of(content)]


def found(client: httpx.Client, **labels: str) -> float:
    """How often damage was found, as the metrics of all workers tell within a moment."""
    deadline = time.monotonic() + 10
    while not (counted := list(_counted(client, labels))) and labels:
        assert time.monotonic() < deadline, client.get("/metrics").text
        time.sleep(0.05)
    return sum(counted)


def _counted(client: httpx.Client, labels: dict[str, str]) -> Iterator[float]:
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            if sample.name == "pierhead_damage_found_total" and labels.items() <= sample.labels.items():
                yield sample.value


def write(server: Running, sql: str, *values: str) -> None:
    with closing(apsw.Connection(str(server.data / "pierhead.db"))) as connection:
        connection.set_busy_timeout(10_000)
        connection.execute(sql, values)


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: os.truncate(path, 99_999)], ids=["missing", "cut short"])
def test_a_pull_that_finds_it_out_makes_the_next_push_heal_it(
    server: Running, client: httpx.Client, harm: object, request: pytest.FixtureRequest
) -> None:
    assert callable(harm)
    harm(file_of(server, LARGE))

    pulled = client.get(blob(LARGE))
    assert (pulled.status_code, pulled.json()["errors"][0]["code"]) == (404, "BLOB_UNKNOWN")
    assert client.head(blob(LARGE)).status_code == 404
    assert client.post("/v2/other/blobs/uploads/", params={"mount": digest_of(LARGE)}).status_code == 202
    refused = put_manifest(client)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (404, "MANIFEST_BLOB_UNKNOWN")
    kind = request.node.callspec.id
    assert found(client, by="pull", what=kind) == 1
    assert push(client, LARGE).status_code == 201
    assert client.get(blob(LARGE)).content == LARGE
    assert put_manifest(client).status_code == 201


def test_whoever_pushes_is_not_told_that_it_is_there(server: Running, client: httpx.Client) -> None:
    """Before anybody pulled it: docker looks with HEAD, and pushes nothing that is there."""
    file_of(server, LARGE).unlink()

    assert client.post("/v2/other/blobs/uploads/", params={"mount": digest_of(LARGE)}).status_code == 202
    assert client.head(blob(LARGE)).status_code == 404
    assert found(client, by="push", what="missing") == 1
    assert push(client, LARGE).status_code == 201
    assert client.get(blob(LARGE)).content == LARGE


def test_a_blob_beside_its_row_that_was_altered_is_never_served(server: Running, client: httpx.Client) -> None:
    write(server, "UPDATE blob_contents SET content = zeroblob(length(content)) WHERE digest = ?", digest_of(SMALL))

    assert client.get(blob(SMALL)).status_code == 404
    assert client.head(blob(SMALL)).status_code == 404
    assert push(client, SMALL).status_code == 201
    assert client.get(blob(SMALL)).content == SMALL


def test_a_short_file_that_was_altered_is_never_served(server: Running, client: httpx.Client) -> None:
    content = random.Random(32).randbytes(20_000)
    push(client, content)
    flip(file_of(server, content))

    assert client.get(blob(content)).status_code == 404
    assert push(client, content).status_code == 201
    assert client.get(blob(content)).content == content


def test_a_manifest_that_was_altered_is_never_served_and_a_push_heals_it(server: Running, client: httpx.Client) -> None:
    pushed = put_manifest(client)
    digest = pushed.headers["docker-content-digest"]
    write(server, "UPDATE manifest_contents SET content = x'7b7d' WHERE digest = ?", digest)

    damaged = client.get("/v2/team/app/manifests/1")
    assert (damaged.status_code, damaged.json()["errors"][0]["code"]) == (404, "MANIFEST_UNKNOWN")
    assert found(client, by="pull", what="manifest") == 1
    assert put_manifest(client).status_code == 201
    healed = client.get("/v2/team/app/manifests/1")
    assert digest_of(healed.content) == digest


def test_a_store_that_is_away_damages_nothing(server: Running, client: httpx.Client) -> None:
    """As where a disk is not mounted: nobody knows what it holds."""
    leaf = file_of(server, LARGE).parent
    shutil.move(leaf, server.data / "away")

    assert client.get(blob(LARGE)).status_code == 503
    assert client.head(blob(LARGE)).status_code == 503
    shutil.move(server.data / "away", leaf)
    assert client.head(blob(LARGE)).status_code == 200
    assert client.get(blob(LARGE)).content == LARGE
    assert found(client) == 0
