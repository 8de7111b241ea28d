"""Uploads: what each byte costs, and what a retry may meet."""

import os
import threading

import httpx
import pytest

from tests.distribution.wire import push_blob, sha256, sha512, start, workers
from tests.running import Running

KIB, MIB = 1 << 10, 1 << 20


def moved(server: Running) -> dict[str, int]:
    """Bytes that its workers read and wrote, whichever the file or connection."""
    total = {"rchar": 0, "wchar": 0}
    for pid in workers(server):
        with open(f"/proc/{pid}/io") as file:  # noqa: PTH123
            for name, value in (line.split(": ") for line in file):
                if name in total:
                    total[name] += int(value)
    return total


def chunked(client: httpx.Client, chunks: int) -> None:
    location, content = start(client, "uploads/chunked"), os.urandom(64 * KIB)
    for number in range(chunks):
        span = {"content-range": f"{number * len(content)}-{(number + 1) * len(content) - 1}"}
        assert client.patch(location, content=content, headers=span).status_code == 202
    digest = sha256(content * chunks)
    assert client.put(location, params={"digest": digest}).status_code == 201


def cost(server: Running, client: httpx.Client, chunks: int) -> int:
    before = moved(server)
    chunked(client, chunks)
    after = moved(server)
    return sum(after.values()) - sum(before.values())


def test_twice_as_many_chunks_cost_twice_as_much(server: Running, client: httpx.Client) -> None:
    """artifact-keeper#1522, pulp_container#797: each PATCH read and wrote again what came before it."""
    chunked(client, 20)  # what is done once is done

    few, many = cost(server, client, 150), cost(server, client, 300)

    assert many < 2.2 * few


@pytest.mark.parametrize("announced", [True, False])
def test_what_was_hashed_on_its_way_in_is_not_read_again_at_the_end(
    server: Running, client: httpx.Client, announced: bool
) -> None:
    """zot's FinishBlobUpload read the whole blob to hash it. Only a digest that nobody announced asks for that."""
    content = os.urandom(MIB) * 48
    location = start(client, "uploads/hashed")
    assert client.patch(location, content=content).status_code == 202
    before = moved(server)

    digest = sha256(content) if announced else sha512(content)
    assert client.put(location, params={"digest": digest}).status_code == 201

    read = moved(server)["rchar"] - before["rchar"]
    assert read < 8 * MIB if announced else read >= 48 * MIB


def test_the_end_of_an_upload_is_asked_for_by_many_at_once(server: Running, client: httpx.Client) -> None:
    """A retry that met the rename of the first attempt was told that the upload was unknown, or left half a blob."""
    content = os.urandom(3 * MIB)
    location, digest = start(client, "uploads/retried"), sha256(content)
    assert client.patch(location, content=content).status_code == 202
    answers: list[httpx.Response] = []

    def finish() -> None:
        with httpx.Client(base_url=server.url, timeout=30) as own:
            answers.append(own.put(location, params={"digest": digest}))

    threads = [threading.Thread(target=finish) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    statuses = {answer.status_code for answer in answers}
    assert 201 in statuses
    assert statuses <= {201, 416}, [answer.text for answer in answers]
    assert client.put(location, params={"digest": digest}).status_code == 201
    assert client.get(f"/v2/uploads/retried/blobs/{digest}").content == content
    assert len(list(server.data.glob(f"blobs/sha256/*/{digest[7:]}.*"))) == 1


def test_a_blob_that_was_pushed_twice_at_once_is_there_once(server: Running) -> None:
    """gitea#33646: two pushes of one layer at a time failed, or left a blob that nobody could pull."""
    content = os.urandom(MIB)
    failed: list[BaseException] = []

    def push() -> None:
        try:
            with httpx.Client(base_url=server.url, timeout=30) as own:
                push_blob(own, "uploads/twins", content)
        except BaseException as error:  # noqa: BLE001  told below
            failed.append(error)

    threads = [threading.Thread(target=push) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    with httpx.Client(base_url=server.url, timeout=30) as client:
        assert client.get(f"/v2/uploads/twins/blobs/{sha256(content)}").content == content
