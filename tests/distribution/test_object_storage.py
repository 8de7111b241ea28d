"""Blobs in a store of objects, as clients see them: pushed, pulled through the server, or sent to the store."""

import hashlib
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests import components
from tests.running import Running, serving
from tests.servers.s3 import Bucket, Server
from tests.servers.toxiproxy import Link
from tests.servers.toxiproxy import Server as Toxiproxy

MIB = 1024 * 1024
CONTENT = random.Random(10).randbytes(20 * MIB + 9)
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
PATH = f"/v2/team/app/blobs/{DIGEST}"


@pytest.fixture(scope="module")
def bucket(s3: Server) -> Bucket:
    return s3.bucket()


@pytest.fixture(scope="module")
def link(bucket: Bucket, toxiproxy: Toxiproxy) -> Iterator[Link]:
    with toxiproxy.link(bucket.endpoint.partition("://")[2]) as link:
        yield link


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, bucket: Bucket, link: Link) -> Iterator[Running]:
    """Reaches its store by the link; clients that it sends there do not."""
    settings = {
        "PIERHEAD_STORAGE_REDIRECT": "on",
        "PIERHEAD_STORAGE_REDIRECT_NETWORKS": "127.0.0.2",
        "PIERHEAD_STORAGE_REDIRECT_EXCEPT_AGENTS": "Old-*,*broken*",
        "PIERHEAD_STORAGE_REDIRECT_SECONDS": "60",
        "PIERHEAD_STORAGE_RETRY_SECONDS": "1.5",
        "PIERHEAD_SERVER_TRUSTED_PROXIES": "127.0.0.1",
    }
    url = bucket.url(through=link.host, public_endpoint=bucket.endpoint)
    data = tmp_path_factory.mktemp("server") / "data"
    arguments = ("--workers", "2", "--allow-anonymous", "--storage", url)
    with serving(data, *arguments, environment={**settings, **bucket.environment}) as server:
        push(server, CONTENT)
        yield server


@pytest.fixture
def client(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


def push(server: Running, content: bytes) -> httpx.Response:
    """As docker does: POST, a PATCH whose length is not told, an empty PUT."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    with httpx.Client(base_url=server.url, timeout=60) as client:
        path = client.post("/v2/team/app/blobs/uploads/").headers["location"]
        frames = (content[at : at + 100_000] for at in range(0, len(content), 100_000))
        client.patch(path, content=frames).raise_for_status()
        return client.put(path, params={"digest": digest})


NEAR = {"x-forwarded-for": "127.0.0.2"}


def test_a_blob_is_pulled_through_the_server(client: httpx.Client) -> None:
    answer = client.get(PATH)

    assert (answer.status_code, answer.headers["content-length"]) == (200, str(len(CONTENT)))
    assert answer.content == CONTENT


@pytest.mark.parametrize(("asked", "part"), [("5-9", slice(5, 10)), ("20000000-", slice(20_000_000, None))])
def test_a_range_is_read_from_the_store(client: httpx.Client, asked: str, part: slice) -> None:
    answer = client.get(PATH, headers={"range": f"bytes={asked}"})

    assert (answer.status_code, answer.content) == (206, CONTENT[part])


def test_a_client_that_can_reach_the_store_is_sent_there(client: httpx.Client, server: Running, bucket: Bucket) -> None:
    answer = client.get(PATH, headers=NEAR)
    stored = httpx.get(answer.headers["location"])

    assert (answer.status_code, answer.headers["cache-control"]) == (307, "private, no-store")
    assert answer.headers["location"].startswith(f"{bucket.endpoint}/")
    assert stored.content == CONTENT
    assert stored.headers["content-type"] == "application/octet-stream"
    assert stored.headers["cache-control"] == "private, max-age=60"
    assert "X-Amz-Signature" not in server.log.read_text()


def test_a_range_is_sent_there_too(client: httpx.Client) -> None:
    answer = client.get(PATH, headers={**NEAR, "range": "bytes=7-11"}, follow_redirects=True)

    assert (answer.status_code, answer.content) == (206, CONTENT[7:12])


@pytest.mark.parametrize(
    "headers",
    [{}, {"x-forwarded-for": "10.9.8.7"}, {**NEAR, "user-agent": "old-client/1"}, {**NEAR, "user-agent": "a Broken b"}],
)
def test_who_cannot_follow_is_served_here(client: httpx.Client, headers: dict[str, str]) -> None:
    assert client.get(PATH, headers={**headers, "range": "bytes=0-0"}).status_code == 206


def test_head_is_answered_here(client: httpx.Client) -> None:
    answer = client.head(PATH, headers=NEAR)

    assert (answer.status_code, answer.headers["content-length"]) == (200, str(len(CONTENT)))


def test_a_small_blob_is_served_here(server: Running, client: httpx.Client) -> None:
    content = b"small" * 5000
    push(server, content)

    assert client.get(f"/v2/team/app/blobs/sha256:{hashlib.sha256(content).hexdigest()}", headers=NEAR).is_success


# A store in trouble


@pytest.fixture
def troubled(link: Link) -> Iterator[Link]:
    yield link
    link.heal()


def test_an_answer_that_cannot_go_on_is_cut_and_never_looks_whole(
    server: Running, troubled: Link, tmp_path: Path
) -> None:
    layer = tmp_path / "layer"
    troubled.bandwidth(5000)
    command = [str(components.require("curl")), "--silent", "--output", str(layer), f"{server.url}{PATH}"]
    with subprocess.Popen(command) as curl:
        while not (layer.exists() and layer.stat().st_size):
            time.sleep(0.01)
        troubled.cut()

    assert curl.returncode == 18  # the connection ended before the body did
    assert layer.stat().st_size < len(CONTENT)


def test_an_answer_is_whole_however_often_its_connection_to_the_store_ends(
    client: httpx.Client, troubled: Link
) -> None:
    troubled.limit(3_000_000)

    assert client.get(PATH).content == CONTENT


def test_an_answer_goes_on_once_the_store_is_well_again(server: Running, troubled: Link, tmp_path: Path) -> None:
    troubled.bandwidth(10_000)
    with httpx.stream("GET", f"{server.url}{PATH}", timeout=30) as answer:
        pieces = answer.iter_raw(100_000)
        content = next(pieces)
        troubled.cut()
        troubled.heal()
        content += b"".join(pieces)

    assert content == CONTENT


def test_a_store_that_is_gone_is_told_and_a_push_works_when_it_is_back(
    server: Running, bucket: Bucket, troubled: Link
) -> None:
    content = CONTENT[:-1]
    troubled.cut()
    with pytest.raises(httpx.HTTPStatusError) as refused:
        push(server, content)
    pulled = httpx.get(f"{server.url}{PATH}", timeout=30)
    ready = httpx.get(f"{server.url}/readyz", timeout=30)
    troubled.heal()

    assert refused.value.response.status_code == pulled.status_code == ready.status_code == 503
    assert int(pulled.headers["retry-after"]) > 0
    log = server.log.read_text()
    assert "StorageFailed: head: " in log  # as the answer promises the operator
    assert bucket.environment["AWS_SECRET_ACCESS_KEY"] not in log
    assert push(server, content).status_code == 201
