"""Images for many platforms, whose parts no tag names."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from pierhead.metadata.sqlite import engine
from pierhead.registry.documents import OCI_IMAGE, OCI_INDEX
from tests.clients.programs import program
from tests.distribution.logs import failures
from tests.distribution.wire import descriptor, image, push_blob, push_manifest, sha256, wait_until
from tests.regressions.acting import attempt, collect, eager, purge
from tests.running import Running

PLATFORMS = ("amd64", "arm64", "s390x")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with eager(tmp_path_factory.mktemp("multiarch") / "data") as running:
        yield running
    assert failures(running.log) == []


def push_index(client: httpx.Client, repository: str, tag: str, *, nested: bool = False) -> dict[str, bytes]:
    """An index with an image for each platform, all under no tag but the index; what was pushed, by digest."""
    pushed: dict[str, bytes] = {}
    entries = []
    for platform in PLATFORMS:
        config = json.dumps({"architecture": platform, "os": "linux", "of": [repository, tag]}).encode()
        layer = f"{repository}:{tag} for {platform}".encode()
        for content in (config, layer):
            push_blob(client, repository, content)
        child = image(config, [layer])
        entry = {**descriptor(child, OCI_IMAGE), "platform": {"architecture": platform, "os": "linux"}}
        entries.append(entry)
        pushed[sha256(child)] = child
        assert push_manifest(client, repository, sha256(child), child).status_code == 201
    if nested:
        inner = _index(entries)
        assert push_manifest(client, repository, sha256(inner), inner, OCI_INDEX).status_code == 201
        pushed[sha256(inner)] = inner
        entries = [descriptor(inner, OCI_INDEX)]
    index = _index(entries)
    assert push_manifest(client, repository, tag, index, OCI_INDEX).status_code == 201
    return {**pushed, sha256(index): index}


def _index(entries: list[dict[str, object]]) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()


def require_whole(client: httpx.Client, repository: str, pushed: dict[str, bytes]) -> None:
    for digest, content in pushed.items():
        assert client.get(f"/v2/{repository}/manifests/{digest}").content == content
        document = json.loads(content)
        for part in [document.get("config"), *document.get("layers", ())]:
            if part:
                assert sha256(client.get(f"/v2/{repository}/blobs/{part['digest']}").content) == part["digest"]


@pytest.mark.parametrize("nested", [False, True])
def test_the_images_of_an_index_are_not_untagged(server: Running, client: httpx.Client, nested: bool) -> None:
    """distribution#3178, #3004: `--delete-untagged` took the children of every index."""
    repository = f"children/{'nested' if nested else 'flat'}"
    pushed = push_index(client, repository, "1", nested=nested)

    for _ in range(2):
        collect(server.data)

    require_whole(client, repository, pushed)


def test_who_deletes_all_that_has_no_tag_breaks_no_image(server: Running, client: httpx.Client) -> None:
    """actions/delete-package-versions#162, snok#97: tools that clean up listed a platform's image as untagged."""
    pushed = push_index(client, "cleaned", "1")
    tagged = client.head("/v2/cleaned/manifests/1").headers["docker-content-digest"]

    for digest in pushed.keys() - {tagged}:
        answer = client.delete(f"/v2/cleaned/manifests/{digest}")
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "DENIED")
        assert tagged in answer.text

    collect(server.data)
    require_whole(client, "cleaned", pushed)


def test_each_platform_is_pulled_after_the_tag_moved_on(server: Running, client: httpx.Client, tmp_path: Path) -> None:
    """distribution#2914: a tag that moved left an index that was garbage, though clusters had it by its digest."""
    old = push_index(client, "rolling", "latest")
    by_digest = client.head("/v2/rolling/manifests/latest").headers["docker-content-digest"]
    layer = b"of the next one"
    for content in (b"{}", layer):
        push_blob(client, "rolling", content)
    assert push_manifest(client, "rolling", "latest", image(b"{}", [layer])).status_code == 201

    collect(server.data)

    require_whole(client, "rolling", old)
    crane = program("crane", tmp_path)
    for platform in PLATFORMS:
        config = crane("config", "--platform", f"linux/{platform}", f"{server.host}/rolling@{by_digest}")
        assert json.loads(config)["architecture"] == platform


def test_a_part_of_two_indexes_goes_with_the_last_of_them(server: Running, client: httpx.Client) -> None:
    first = push_index(client, "parts", "1")
    children = {digest: content for digest, content in first.items() if b"manifests" not in content}
    entries: list[dict[str, object]] = [descriptor(content, OCI_IMAGE) for content in children.values()]
    second = _index([*entries[:1]])
    assert push_manifest(client, "parts", "2", second, OCI_INDEX).status_code == 201
    kept = json.loads(second)["manifests"][0]["digest"]

    [index] = first.keys() - children.keys()
    assert client.delete(f"/v2/parts/manifests/{index}").status_code == 202
    purge(server.data, "parts")
    collect(server.data)

    require_whole(client, "parts", {sha256(second): second, kept: children[kept]})
    for digest in children.keys() - {kept}:
        assert client.head(f"/v2/parts/manifests/{digest}").status_code == 404
        gone = json.loads(children[digest])["layers"][0]["digest"]
        assert client.head(f"/v2/parts/blobs/{gone}").status_code == 404


def test_untagged_manifests_that_go_by_age_leave_the_parts_of_images(tmp_path: Path) -> None:
    """harbor#15591, #16058: what got its tag only moments later was gone before that, and so were parts of images."""
    jobs = {"PIERHEAD_UNTAGGED_KEEP_HOURS": "1", "PIERHEAD_JOBS_ENABLED": "true", "PIERHEAD_JOBS_POLL_SECONDS": "0.05"}
    with eager(tmp_path / "data", **jobs) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        pushed = push_index(client, "aged", "1", nested=True)
        left = push_untagged(client, "left")
        with closing(engine.connect(server.data / "pierhead.db")) as connection:
            connection.execute("UPDATE manifests SET untagged_at = untagged_at - 7200000000")
        early = push_untagged(client, "early")

        assert wait_until(lambda: attempt(server.data, "jobs", "run", "manifests.untagged").returncode == 0)
        assert wait_until(lambda: client.head(f"/v2/aged/manifests/{sha256(left)}").status_code == 404, 30)
        collect(server.data)

        assert push_manifest(client, "aged", "2", early).status_code == 201
        require_whole(client, "aged", {**pushed, sha256(early): early})


def push_untagged(client: httpx.Client, text: str) -> bytes:
    config = json.dumps({"text": text}).encode()
    push_blob(client, "aged", config)
    assert push_manifest(client, "aged", sha256(image(config)), image(config)).status_code == 201
    return image(config)
