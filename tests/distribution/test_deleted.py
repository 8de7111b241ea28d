"""What a 404 says of what was deleted, and to whom."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.access.hashed import fast, write
from tests.nodes.cluster import CONFIG, MANIFEST, digest_of, manifest
from tests.running import serving

ALICE = ("alice", "secret")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Of a server where everybody may pull, and alice whatever she likes."""
    folder: Path = tmp_path_factory.mktemp("deleted")
    accounts = write(folder / "htpasswd", fast(*ALICE))
    arguments = ("--workers", "1", "--htpasswd", str(accounts), "--allow-anonymous")
    with serving(folder / "data", *arguments) as running, httpx.Client(base_url=running.url, timeout=30) as client:
        yield client


def push(client: httpx.Client, name: str) -> str:
    begun = client.post(f"/v2/{name}/blobs/uploads/", auth=ALICE)
    assert (
        client.put(f"{begun.headers['location']}?digest={digest_of(CONFIG)}", content=CONFIG, auth=ALICE).status_code
        == 201
    )
    headers = {"content-type": MANIFEST}
    put = client.put(f"/v2/{name}/manifests/v1", content=manifest(name), headers=headers, auth=ALICE)
    assert put.status_code == 201
    return put.headers["docker-content-digest"]


def whole(answer: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    return answer.status_code, answer.content, {name: text for name, text in answer.headers.items() if name != "date"}


@pytest.mark.parametrize("reference", ["v1", "digest"])
def test_who_may_delete_is_told_the_way_back_and_nobody_else(client: httpx.Client, reference: str) -> None:
    name = f"told/{reference}"
    digest = push(client, name)
    asked = f"/v2/{name}/manifests/{digest if reference == 'digest' else reference}"
    other = digest_of(b"never pushed") if reference == "digest" else "v9"
    assert client.delete(f"/v2/{name}/manifests/{digest}", auth=ALICE).status_code == 202
    told, untold = client.get(asked, auth=ALICE), client.get(asked)
    never = client.get(f"/v2/{name}/manifests/{other}")
    text = f"pierhead restore {name}@{digest}" if reference == "digest" else f"pierhead restore {name}:v1"

    assert told.status_code == 404
    assert told.json()["errors"][0]["code"] == "MANIFEST_UNKNOWN"
    assert told.json()["errors"][0]["message"].endswith(text)
    assert whole(untold)[1].replace(asked.rpartition("/")[2].encode(), other.encode()) == never.content
    assert client.head(asked, auth=ALICE).status_code == client.head(asked).status_code == 404


def test_what_never_was_reads_the_same_for_everybody(client: httpx.Client) -> None:
    push(client, "never/was")
    asked = "/v2/never/was/manifests/v9"

    assert whole(client.get(asked, auth=ALICE)) == whole(client.get(asked))


def test_a_tag_that_was_deleted_by_itself_is_told_too(client: httpx.Client) -> None:
    push(client, "told/tag")
    client.delete("/v2/told/tag/manifests/v1", auth=ALICE)

    message = client.get("/v2/told/tag/manifests/v1", auth=ALICE).json()["errors"][0]["message"]
    assert message.endswith("Z: pierhead restore told/tag:v1")
