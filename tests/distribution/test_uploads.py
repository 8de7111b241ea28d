"""Upload sessions against a real server: what comes twice, out of order, too late, or from elsewhere."""

import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.distribution.logs import failures
from tests.distribution.wire import (
    Answer,
    Ledger,
    Socket,
    descriptors,
    nothing_stored,
    push_blob,
    refused,
    sha256,
    sha512,
    start,
    wait_until,
)
from tests.running import Running, serving

REPOSITORY = "sessions/app"
MIB = 1 << 20


def status(client: httpx.Client, location: str) -> str:
    """The Range of a session."""
    response = client.get(location)
    assert response.status_code == 204, response.text
    assert response.headers["location"] == location
    return response.headers["range"]


def patch(client: httpx.Client, location: str, content: bytes, content_range: str = "") -> httpx.Response:
    headers = {"content-range": content_range} if content_range else {}
    return client.patch(location, content=content, headers=headers)


def finish(
    client: httpx.Client, location: str, digest: str, content: bytes = b"", content_range: str = ""
) -> httpx.Response:
    headers = {"content-range": content_range} if content_range else {}
    return client.put(location, params={"digest": digest}, content=content, headers=headers)


def test_a_session_tells_where_it_is_and_how_far_it_came(client: httpx.Client) -> None:
    response = client.post(f"/v2/{REPOSITORY}/blobs/uploads/")
    location = response.headers["location"]

    assert str(uuid.UUID(location.rpartition("/")[2])) in location
    assert response.headers["oci-chunk-min-length"].isdigit()
    assert response.headers["range"] == status(client, location) == "0-0"
    assert patch(client, location, b"0123456789").headers["range"] == status(client, location) == "0-9"
    assert client.delete(location).status_code == 204


@pytest.mark.parametrize("content_range", ["5-9", "0-9", "9-13", "11-15", "1-5"])
def test_a_chunk_out_of_order_is_told_the_true_range_and_the_session_goes_on(
    server: Running, client: httpx.Client, content_range: str
) -> None:
    location = start(client, REPOSITORY)
    assert patch(client, location, b"0123456789", "0-9").status_code == 202
    first, last = map(int, content_range.split("-"))

    with nothing_stored(server):
        response = patch(client, location, bytes(last - first + 1), content_range)

    refused(response, 416, "BLOB_UPLOAD_INVALID", "10 bytes")
    assert (response.headers["location"], response.headers["range"]) == (location, "0-9")
    assert "retry-after" not in response.headers
    assert status(client, location) == "0-9"
    assert patch(client, location, b"abc", "10-12").headers["range"] == "0-12"
    assert finish(client, location, sha256(b"0123456789abc")).status_code == 201


def test_a_repeated_chunk_is_told_the_true_range(client: httpx.Client) -> None:
    location = start(client, REPOSITORY)
    for _ in range(2):
        response = patch(client, location, b"0123456789", "0-9")

    refused(response, 416, "BLOB_UPLOAD_INVALID")
    assert response.headers["range"] == "0-9"
    assert client.delete(location).status_code == 204


def test_a_last_chunk_out_of_order_is_told_the_true_range_and_the_session_goes_on(client: httpx.Client) -> None:
    location = start(client, REPOSITORY)
    patch(client, location, b"0123456789", "0-9")
    whole = sha256(b"0123456789abc-last")

    response = finish(client, location, whole, b"abc-last", "0-7")

    refused(response, 416, "BLOB_UPLOAD_INVALID")
    assert (response.headers["location"], response.headers["range"]) == (location, "0-9")
    assert finish(client, location, whole, b"abc-last", "10-17").status_code == 201


BAD_RANGES = ["", "-", "a-b", "0-", "-9", "9-0", "bytes 0", "0-9-9", "0-" + "9" * 40, "-1--2", "\xb2-\xb3", "0,5-9"]


@pytest.mark.parametrize("content_range", BAD_RANGES)
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_content_range_that_is_none_is_refused_and_the_session_goes_on(
    server: Running, client: httpx.Client, method: str, content_range: str
) -> None:
    location = start(client, REPOSITORY)

    with nothing_stored(server), Socket(server) as connection:
        path = f"{location}?digest={sha256(b'0123456789')}"
        answer = connection.request(
            method, path, "Content-Length: 10", f"Content-Range: {content_range}", body=b"0123456789"
        ).answer()

    refused(answer, 400, "UNSUPPORTED", "Content-Range")
    assert status(client, location) == "0-0"
    assert finish(client, location, sha256(b"0123456789"), b"0123456789").status_code == 201


@pytest.mark.parametrize("content_range", ["0-8", "0-10", "0-999999999999999999"])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_content_range_that_is_not_the_bodys_length_is_refused(
    server: Running, client: httpx.Client, content_range: str, streamed: bool
) -> None:
    location = start(client, REPOSITORY)
    before = Ledger.of(server).rows

    content = iter([b"01234", b"56789"]) if streamed else b"0123456789"
    response = client.patch(location, content=content, headers={"content-range": content_range})

    refused(response, 400, "SIZE_INVALID")
    assert Ledger.of(server).rows == before
    assert status(client, location) == "0-0"
    assert finish(client, location, sha256(b"0123456789"), b"0123456789").status_code == 201


def test_a_patch_after_the_put_is_refused(server: Running, client: httpx.Client) -> None:
    location = start(client, REPOSITORY)
    assert finish(client, location, sha256(b"late"), b"late").status_code == 201

    with nothing_stored(server):
        for response in (patch(client, location, b"more"), client.get(location), client.delete(location)):
            refused(response, 404, "BLOB_UPLOAD_UNKNOWN")

    assert client.get(f"/v2/{REPOSITORY}/blobs/{sha256(b'late')}").content == b"late"


def test_a_put_repeated_after_its_success_is_answered_from_the_finished_session(
    server: Running, client: httpx.Client
) -> None:
    location = start(client, REPOSITORY)
    first = finish(client, location, sha256(b"twice"), b"twice")

    with nothing_stored(server):
        second = finish(client, location, sha256(b"twice"), b"twice")
        empty = finish(client, location, sha256(b"twice"))

    assert (first.status_code, second.status_code, empty.status_code) == (201, 201, 201)
    assert first.headers["location"] == second.headers["location"]
    assert first.headers["docker-content-digest"] == second.headers["docker-content-digest"]


@pytest.mark.parametrize("digest", [sha256(b"another"), sha512(b"once")])
def test_a_put_repeated_with_another_digest_is_refused(server: Running, client: httpx.Client, digest: str) -> None:
    location = start(client, REPOSITORY)
    finish(client, location, sha256(b"once"), b"once")

    with nothing_stored(server):
        refused(finish(client, location, digest, b"another"), 404, "BLOB_UPLOAD_UNKNOWN")

    assert client.head(f"/v2/{REPOSITORY}/blobs/{sha256(b'another')}").status_code == 404


@pytest.mark.parametrize(
    "session",
    [
        str(uuid.UUID(int=0)),
        "x",
        "..",
        "_",
        "a" * 500,
        "00000000-0000-0000-0000-000000000000.0",
        "'; DROP TABLE uploads; --".replace(" ", "+"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
def test_an_unknown_session_is_refused(server: Running, method: str, session: str) -> None:
    with nothing_stored(server), Socket(server) as connection:
        path = f"/v2/{REPOSITORY}/blobs/uploads/{session}?digest={sha256(b'x')}"
        body = b"x" if method in {"PATCH", "PUT"} else b""
        refused(
            connection.request(method, path, f"Content-Length: {len(body)}", body=body).answer(),
            404,
            "BLOB_UPLOAD_UNKNOWN",
        )


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
def test_a_session_of_another_repository_is_unknown(server: Running, client: httpx.Client, method: str) -> None:
    location = start(client, REPOSITORY)
    foreign = location.replace(REPOSITORY, "sessions/other")

    with nothing_stored(server):
        content = b"x" if method in {"PATCH", "PUT"} else None
        response = client.request(method, foreign, params={"digest": sha256(b"x")}, content=content)

    refused(response, 404, "BLOB_UPLOAD_UNKNOWN")
    assert status(client, location) == "0-0"
    assert client.head(f"/v2/sessions/other/blobs/{sha256(b'x')}").status_code == 404


def test_a_cancelled_session_is_gone(server: Running, client: httpx.Client) -> None:
    with nothing_stored(server):
        location = start(client, REPOSITORY)
        patch(client, location, bytes(MIB))
        assert client.delete(location).status_code == 204

        for response in (client.delete(location), client.get(location), patch(client, location, b"x")):
            refused(response, 404, "BLOB_UPLOAD_UNKNOWN")


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_second_writer_is_told_where_the_session_stands_and_to_come_again(
    server: Running, client: httpx.Client, method: str
) -> None:
    location = start(client, REPOSITORY)
    patch(client, location, b"01234")

    with Socket(server) as first:
        first.request("PATCH", location, "Content-Length: 10", body=b"56789")
        time.sleep(0.3)
        second = client.request(method, location, params={"digest": sha256(b"x")}, content=b"x")
        answer = first.send(b"abcde").answer()

    refused(second, 416, "BLOB_UPLOAD_INVALID", "another request")
    assert (second.headers["location"], second.headers["range"]) == (location, "0-4")
    assert int(second.headers["retry-after"]) >= 1
    assert (answer.status, answer.headers["range"]) == (202, "0-14")
    assert finish(client, location, sha256(b"0123456789abcde")).status_code == 201


def test_of_many_writers_at_once_one_writes(client: httpx.Client, server: Running) -> None:
    location, content = start(client, REPOSITORY), bytes(2 * MIB)
    statuses: list[int] = []

    def write() -> None:
        with httpx.Client(base_url=server.url, timeout=30) as own:
            statuses.append(patch(own, location, content, f"0-{len(content) - 1}").status_code)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == [202] + [416] * 7
    assert finish(client, location, sha256(content)).status_code == 201


def test_a_client_that_vanishes_mid_layer_finds_its_session_where_it_stands(
    server: Running, client: httpx.Client
) -> None:
    location, content = start(client, REPOSITORY), bytes(range(256)) * 4096 * 3
    with Socket(server) as connection:
        connection.request("PATCH", location, f"Content-Length: {10 * MIB}", body=content[: 2 * MIB + 17])

    assert wait_until(lambda: status(client, location) == f"0-{2 * MIB + 16}")
    assert patch(client, location, content[2 * MIB + 17 :], f"{2 * MIB + 17}-{len(content) - 1}").status_code == 202
    assert finish(client, location, sha256(content)).status_code == 201


def test_a_client_that_vanishes_within_a_chunk_sends_it_again(server: Running, client: httpx.Client) -> None:
    location, content = start(client, REPOSITORY), bytes(2 * MIB)
    with Socket(server) as connection:
        connection.request(
            "PATCH",
            location,
            f"Content-Length: {len(content)}",
            f"Content-Range: 0-{len(content) - 1}",
            body=bytes(MIB),
        )

    def again() -> int:
        return patch(client, location, content, f"0-{len(content) - 1}").status_code

    assert wait_until(lambda: again() == 202)
    assert finish(client, location, sha256(content)).status_code == 201


def test_clients_that_vanish_leave_nothing_open(server: Running, client: httpx.Client) -> None:
    before = descriptors(server)

    with nothing_stored(server):
        for number in range(60):
            digest = sha256(b"%d" % number)
            with Socket(server) as connection:
                connection.request(
                    "POST",
                    f"/v2/{REPOSITORY}/blobs/uploads/?digest={digest}",
                    f"Content-Length: {MIB}",
                    body=bytes(1000 * number),
                )
        assert wait_until(lambda: descriptors(server) <= before + 10)


def test_a_put_whose_client_vanishes_can_be_sent_again(server: Running, client: httpx.Client) -> None:
    location, content = start(client, REPOSITORY), bytes(MIB) + b"end"
    with Socket(server) as connection:
        path = f"{location}?digest={sha256(content)}"
        connection.request("PUT", path, f"Content-Length: {len(content)}", body=content[:-3])

    assert wait_until(lambda: finish(client, location, sha256(content), content).status_code == 201)


# Mounting


def test_a_blob_that_nobody_has_cannot_be_mounted_but_uploaded(client: httpx.Client) -> None:
    digest = sha256(b"not there")

    for source in ({"from": "sessions/none"}, {}, {"from": "NOT/A/NAME"}, {"from": ""}, {"from": REPOSITORY}):
        response = client.post("/v2/sessions/mounting/blobs/uploads/", params={"mount": digest, **source})

        assert response.status_code == 202, response.text
        assert client.delete(response.headers["location"]).status_code == 204
    assert client.head(f"/v2/sessions/mounting/blobs/{digest}").status_code == 404


@pytest.mark.parametrize("digest", ["", "sha256:x", "md5:d41d8cd98f00b204e9800998ecf8427e", sha256(b"").upper()])
def test_a_malformed_digest_cannot_be_mounted(server: Running, client: httpx.Client, digest: str) -> None:
    with nothing_stored(server):
        response = client.post("/v2/sessions/mounting/blobs/uploads/", params={"mount": digest, "from": REPOSITORY})

    refused(response, 400, "DIGEST_INVALID")


@pytest.mark.parametrize("source", [{"from": REPOSITORY}, {}])
def test_a_blob_of_another_repository_is_mounted(client: httpx.Client, source: dict[str, str]) -> None:
    digest = push_blob(client, REPOSITORY, b"to be mounted")
    target = f"sessions/mounted{len(source)}"

    response = client.post(f"/v2/{target}/blobs/uploads/", params={"mount": digest, **source})

    assert response.status_code == 201
    assert response.headers["docker-content-digest"] == digest
    assert client.get(response.headers["location"]).content == b"to be mounted"


# Slow clients


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that waits for a second only."""
    folder: Path = tmp_path_factory.mktemp("impatient")
    environment = {"PIERHEAD_SERVER_IDLE_BODY_SECONDS": "1", "PIERHEAD_SERVER_HEADER_SECONDS": "1"}
    with serving(folder / "data", "--workers", "1", environment=environment) as running:
        yield running
    assert failures(running.log) == []


def test_a_slow_body_is_cut_and_the_staged_bytes_are_told_truly(impatient: Running) -> None:
    with httpx.Client(base_url=impatient.url) as client:
        location = start(client, REPOSITORY)
        with Socket(impatient) as connection:
            started = time.monotonic()
            answer = connection.request("PATCH", location, "Content-Length: 1000000", body=bytes(1234)).answer()
            seconds = time.monotonic() - started
            assert connection.closed()

        refused(answer, 408, "BLOB_UPLOAD_INVALID", "1234 bytes", "server.idle_body_seconds")
        assert 0.8 < seconds < 5
        assert status(client, location) == "0-1233"
        assert finish(client, location, sha256(bytes(2000)), bytes(766)).status_code == 201


def test_a_body_that_goes_on_is_not_cut(impatient: Running) -> None:
    with httpx.Client(base_url=impatient.url) as client:
        location = start(client, REPOSITORY)
        with Socket(impatient) as connection:
            connection.request("PATCH", location, "Content-Length: 4")
            for _ in range(4):
                time.sleep(0.5)
                connection.send(b"x")
            assert connection.answer().status == 202


@pytest.mark.parametrize("kind", ["manifest", "blob at once", "last chunk"])
def test_a_slow_body_stores_nothing(impatient: Running, kind: str) -> None:
    with httpx.Client(base_url=impatient.url) as client:
        location = start(client, REPOSITORY)
    method, path = {
        "manifest": ("PUT", f"/v2/{REPOSITORY}/manifests/slow"),
        "blob at once": ("POST", f"/v2/{REPOSITORY}/blobs/uploads/?digest={sha256(b'x')}"),
        "last chunk": ("PUT", f"{location}?digest={sha256(b'x')}"),
    }[kind]
    before = Ledger.of(impatient)

    with Socket(impatient) as connection:
        answer: Answer = connection.request(method, path, "Content-Length: 100", body=b"x").answer()

    refused(answer, 408, "BLOB_UPLOAD_INVALID")
    assert wait_until(lambda: Ledger.of(impatient).rows == before.rows)
    assert Ledger.of(impatient).blobs == before.blobs


def test_slow_headers_are_cut(impatient: Running) -> None:
    with Socket(impatient) as connection:
        connection.send(b"GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        ended = False
        for number in range(40):
            try:
                connection.send(b"X-%d: a\r\n" % number)
                connection.raw.settimeout(0.1)
                ended = not connection.raw.recv(4096).startswith(b"HTTP/1.1 2")
                break
            except TimeoutError:
                continue
            except ConnectionError:
                ended = True
                break
        assert ended
