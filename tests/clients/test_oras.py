"""oras: artifacts of files, with what refers to them."""

import json
import random
from pathlib import Path

import httpx
import pytest

from tests.clients import exactness
from tests.clients.programs import Program, program
from tests.running import Running

MEBIBYTE = 1 << 20
FILES = {"notes.txt": b"hello\n", "model.bin": random.Random(7).randbytes(3 * MEBIBYTE), "empty": b""}


@pytest.fixture(scope="module")
def oras(home: Path) -> Program:
    for name, content in FILES.items():
        (home / name).write_bytes(content)
    return program("oras", home)


@pytest.fixture(scope="module")
def artifact(oras: Program, server: Running) -> str:
    name = f"{server.host}/oras/artifact:1"
    oras("push", "--plain-http", "--artifact-type", "application/x.model", name, *FILES)
    return name


def test_the_files_come_back_as_they_went(oras: Program, artifact: str, client: httpx.Client, tmp_path: Path) -> None:
    oras("pull", "--plain-http", "--output", tmp_path, artifact)

    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == FILES
    held = exactness.read(client, "oras/artifact", "1")
    assert held.document["artifactType"] == "application/x.model"
    assert held.digest == oras("resolve", "--plain-http", artifact).strip()


def test_a_referrer_is_attached_discovered_and_copied_along(
    oras: Program, artifact: str, home: Path, server: Running, client: httpx.Client
) -> None:
    (home / "bill.json").write_text("{}")
    oras("attach", "--plain-http", "--artifact-type", "application/x.bill", artifact, "bill.json:application/json")
    copy = f"{server.host}/oras/copy:1"
    oras("cp", "--recursive", "--from-plain-http", "--to-plain-http", artifact, copy)
    found = [json.loads(oras("discover", "--plain-http", "--format", "json", name)) for name in (artifact, copy)]

    kinds = [[referrer["artifactType"] for referrer in answer["referrers"]] for answer in found]
    assert kinds == [["application/x.bill"], ["application/x.bill"]]
    referrer = exactness.read(client, "oras/copy", found[1]["referrers"][0]["digest"])
    assert referrer.document["subject"]["digest"] == exactness.read(client, "oras/artifact", "1").digest
    assert exactness.read(client, "oras/copy", "1") == exactness.read(client, "oras/artifact", "1")


def test_tags_and_repositories_are_listed(oras: Program, artifact: str, server: Running) -> None:
    oras("tag", "--plain-http", artifact, "2", "3")

    assert oras("repo", "tags", "--plain-http", f"{server.host}/oras/artifact").split() == ["1", "2", "3"]
    assert "oras/artifact" in oras("repo", "ls", "--plain-http", server.host).split()


def test_an_index_is_made_in_the_registry(oras: Program, artifact: str, server: Running, client: httpx.Client) -> None:
    oras("manifest", "index", "create", "--plain-http", f"{server.host}/oras/artifact:index", "1")

    held = exactness.read(client, "oras/artifact", "index")
    assert [child.digest for child in held.children] == [exactness.read(client, "oras/artifact", "1").digest]


def test_a_deleted_artifact_is_gone(oras: Program, artifact: str, server: Running, client: httpx.Client) -> None:
    deleted = f"{server.host}/oras/deleted:1"
    oras("cp", "--from-plain-http", "--to-plain-http", artifact, deleted)
    oras("manifest", "delete", "--plain-http", "--force", deleted)

    assert "not found" in oras.refused("resolve", "--plain-http", deleted)
    assert client.get("/v2/oras/deleted/manifests/1").status_code == 404
