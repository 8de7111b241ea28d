"""Tags that move: to whatever manifest, and whole at every moment."""

import json
import threading

import httpx
import pytest

from pierhead.registry.documents import DOCKER_IMAGE, DOCKER_LIST, OCI_IMAGE, OCI_INDEX
from tests.distribution.wire import descriptor, image, push_blob, push_image, push_manifest, sha256
from tests.running import Running


def manifests(client: httpx.Client, repository: str) -> dict[str, bytes]:
    """One of each media type, all of one image."""
    push_blob(client, repository, b"{}")
    one = image()
    docker = json.dumps({**json.loads(one), "mediaType": DOCKER_IMAGE}).encode()
    made = {OCI_IMAGE: one, DOCKER_IMAGE: docker}
    for kind, child, index in ((OCI_IMAGE, one, OCI_INDEX), (DOCKER_IMAGE, docker, DOCKER_LIST)):
        assert push_manifest(client, repository, sha256(child), child, kind).status_code == 201
        entries = [descriptor(child, kind)]
        made[index] = json.dumps({"schemaVersion": 2, "mediaType": index, "manifests": entries}).encode()
    return made


@pytest.mark.parametrize("first", [OCI_IMAGE, OCI_INDEX, DOCKER_IMAGE, DOCKER_LIST])
@pytest.mark.parametrize("then", [OCI_IMAGE, OCI_INDEX, DOCKER_IMAGE, DOCKER_LIST])
def test_a_tag_moves_to_a_manifest_of_another_media_type(client: httpx.Client, first: str, then: str) -> None:
    """zot#3005: 400, "cannot change media-type" where an index became an image."""
    made = manifests(client, "types")
    for media_type in (first, then, first):
        assert push_manifest(client, "types", "latest", made[media_type], media_type).status_code == 201

        pulled = client.get("/v2/types/manifests/latest")
        assert (pulled.headers["content-type"], pulled.content) == (media_type, made[media_type])


def test_a_tag_that_moves_all_the_time_is_whole_for_whoever_pulls_it(server: Running, client: httpx.Client) -> None:
    """distribution#4489: links and manifests were cut to nothing before they were written, for all to see."""
    digests = [push_image(client, "moving", "first", str(number)) for number in range(2)]
    contents = [client.get(f"/v2/moving/manifests/{digest}").content for digest in digests]
    over = threading.Event()
    seen: set[tuple[int, bytes]] = set()

    def pull() -> None:
        with httpx.Client(base_url=server.url, timeout=30) as own:
            while not over.is_set():
                response = own.get("/v2/moving/manifests/first")
                seen.add((response.status_code, response.content))

    readers = [threading.Thread(target=pull) for _ in range(2)]
    for reader in readers:
        reader.start()
    for turn in range(200):
        assert push_manifest(client, "moving", "first", contents[turn % 2]).status_code == 201
    over.set()
    for reader in readers:
        reader.join()

    assert seen <= {(200, content) for content in contents}
    assert len(seen) == 2
