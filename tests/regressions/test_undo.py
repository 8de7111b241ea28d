"""What was deleted by mistake, and what is not deleted at all."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.clients import exactness
from tests.clients.conftest import image as image  # noqa: PLC0414  a fixture
from tests.clients.image import Image
from tests.clients.programs import program
from tests.distribution.logs import failures
from tests.distribution.wire import image as manifest_of
from tests.distribution.wire import push_blob, push_image, push_manifest, sha256
from tests.regressions.acting import attempt, collect, eager, pierhead, purge
from tests.running import Running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with eager(tmp_path_factory.mktemp("undo") / "data") as running:
        yield running
    assert failures(running.log) == []


@pytest.mark.parametrize("kind", ["manifest", "tag"])
def test_what_a_client_deleted_comes_back_whole(
    server: Running, client: httpx.Client, image: Image, kind: str, tmp_path: Path
) -> None:
    """harbor#6290, #22039: there was no way back but to push it again."""
    repository, crane = f"undone/{kind}", program("crane", tmp_path)
    name = f"{server.host}/{repository}"
    crane("push", image.layout, f"{name}:1")
    before = exactness.read(client, repository, "1")
    deleted = f"@{image.digest}" if kind == "manifest" else ":1"

    crane("delete", f"{name}{deleted}")
    assert "MANIFEST_UNKNOWN" in crane.refused("pull", f"{name}:1", tmp_path / "none.tar")
    for _ in range(2):
        collect(server.data)
    pierhead(server.data, "restore", f"{repository}{deleted}")

    crane("pull", "--format", "oci", f"{name}:1", tmp_path / "back")
    crane("validate", "--remote", f"{name}:1")
    assert exactness.read(client, repository, "1") == before


@pytest.mark.parametrize("kind", ["repository", "project"])
def test_what_an_operator_deleted_comes_back_whole(
    server: Running, client: httpx.Client, image: Image, kind: str, tmp_path: Path
) -> None:
    """harbor#7002, #7010: a repository was gone with all that it held."""
    project, crane = f"gone-{kind}", program("crane", tmp_path)
    name, flags = (project, ("--project",)) if kind == "project" else (f"{project}/app", ())
    crane("push", image.layout, f"{server.host}/{project}/app:1")
    before = exactness.read(client, f"{project}/app", "1")

    pierhead(server.data, "delete", name, *flags)
    assert "UNKNOWN" in crane.refused("pull", f"{server.host}/{project}/app:1", tmp_path / "none.tar")
    for _ in range(2):
        collect(server.data)
    pierhead(server.data, "restore", name, *flags)

    crane("validate", "--remote", f"{server.host}/{project}/app:1")
    assert exactness.read(client, f"{project}/app", "1") == before


def test_a_tag_that_was_moved_by_mistake_goes_back(server: Running, client: httpx.Client) -> None:
    """Docker Hub, GHCR, Harbor: what `latest` was before is known to nobody."""
    first, second = (push_image(client, "moved", "latest", text) for text in ("first", "second"))
    collect(server.data)

    pierhead(server.data, "rollback", "moved:latest", "--to", first, "--reason", "the second was a mistake")

    assert client.head("/v2/moved/manifests/latest").headers["docker-content-digest"] == first
    assert client.head(f"/v2/moved/manifests/{second}").status_code == 200
    assert "second" not in client.get("/v2/moved/manifests/latest").text


def test_a_deleted_tag_takes_no_other_tag_of_its_digest_along(server: Running, client: httpx.Client) -> None:
    """harbor#8717, joxit: a deleted tag took all others of the same image along."""
    layer = b"a layer of many tags"
    for content in (b"{}", layer):
        push_blob(client, "sharing", content)
    content = manifest_of(b"{}", [layer])
    for tag in ("1", "1.0", "latest"):
        assert push_manifest(client, "sharing", tag, content).status_code == 201

    assert client.delete("/v2/sharing/manifests/1.0").status_code == 202
    purge(server.data, "sharing")
    collect(server.data)

    assert client.get("/v2/sharing/tags/list").json()["tags"] == ["1", "latest"]
    assert client.get("/v2/sharing/manifests/latest").content == content
    assert client.get(f"/v2/sharing/blobs/{sha256(layer)}").content == layer


def test_what_was_purged_is_not_promised_to_come_back(server: Running, client: httpx.Client) -> None:
    digest = push_image(client, "purged", "1", "purged")
    client.delete(f"/v2/purged/manifests/{digest}").raise_for_status()
    purge(server.data, "purged")
    collect(server.data)

    ran = attempt(server.data, "restore", f"purged@{digest}")

    assert ran.returncode == 1
    assert ran.stderr.startswith("pierhead: ")
    assert client.head(f"/v2/purged/manifests/{digest}").status_code == 404
