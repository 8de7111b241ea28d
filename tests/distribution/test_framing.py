"""Requests whose framing lies: lengths, chunks, headers and bodies that do not come.

Where it is no request at all, the connection itself refuses: the registry never saw it.
"""

import time

import httpx
import pytest

from pierhead.registry.documents import OCI_IMAGE
from tests.distribution.wire import (
    Ledger,
    Socket,
    image,
    memory,
    nothing_stored,
    push_blob,
    refused,
    sha256,
    start,
    wait_until,
)
from tests.running import Running

PATH = "/v2/bad/framing/manifests/latest"
TYPE = f"Content-Type: {OCI_IMAGE}"
MIB = 1 << 20
SMUGGLED = b"DELETE /v2/bad/framing/manifests/kept HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.fixture
def kept(client: httpx.Client) -> None:
    """A tag that a smuggled request would delete, and the config of `image()`."""
    push_blob(client, "bad/framing", b"{}")
    response = client.put("/v2/bad/framing/manifests/kept", content=image(), headers={"content-type": OCI_IMAGE})
    assert response.status_code == 201


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: -1",),
        ("Content-Length: +5",),
        ("Content-Length: 5, 6",),
        ("Content-Length: 0x5",),
        ("Content-Length: five",),
        ("Content-Length: 99999999999999999999999999",),
        ("Transfer-Encoding: gzip",),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding: chunked, gzip",),
        ("Transfer-Encoding: identity",),
    ],
)
def test_a_length_that_cannot_be_is_refused_and_the_connection_ends(
    server: Running, kept: None, headers: tuple[str, ...]
) -> None:
    with nothing_stored(server), Socket(server) as connection:
        answer = connection.request("PUT", PATH, TYPE, *headers, body=b"{}" + SMUGGLED).answer()

        assert answer.status == 400
        assert connection.closed()


def test_a_length_beyond_any_blob_is_refused(server: Running, kept: None) -> None:
    with nothing_stored(server), Socket(server) as connection:
        answer = connection.request("PUT", PATH, TYPE, "Content-Length: 9999999999999999999", body=b"{").answer()

        refused(answer, 400, "UNSUPPORTED", "Content-Length")


def test_a_length_beside_a_transfer_encoding_is_refused_and_the_connection_ends(server: Running, kept: None) -> None:
    """RFC 9112 §6.3: it may be an attempt at smuggling."""
    body = b"0\r\n\r\n" + SMUGGLED

    with nothing_stored(server), Socket(server) as connection:
        answer = connection.request(
            "PUT", PATH, TYPE, "Content-Length: 4", "Transfer-Encoding: chunked", body=body
        ).answer()

        refused(answer, 400, "UNSUPPORTED", "Transfer-Encoding")
        assert answer.headers["connection"] == "close"
        assert connection.closed()


@pytest.mark.parametrize(
    "spelling", ["Transfer-Encoding : chunked", " Transfer-Encoding: chunked", "Transfer-Encoding\t: chunked"]
)
def test_a_header_with_a_blank_in_its_name_smuggles_nothing(server: Running, kept: None, spelling: str) -> None:
    with nothing_stored(server), Socket(server) as connection:
        answer = connection.request(
            "PUT", PATH, TYPE, "Content-Length: 5", spelling, body=b"0\r\n\r\n" + SMUGGLED
        ).answer()

        assert answer.status == 400


def test_what_follows_a_body_that_is_too_long_is_the_next_request(server: Running, kept: None) -> None:
    """A Content-Length below the body's: the rest is no part of it, and here no request either."""
    with nothing_stored(server), Socket(server) as connection:
        first = connection.request("PUT", PATH, TYPE, "Content-Length: 2", body=b"{}garbage\r\n\r\n").answer()
        second = connection.answer()

        refused(first, 400, "MANIFEST_INVALID")
        assert second.status == 400
        assert connection.closed()


@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST"])
def test_a_body_that_is_shorter_than_its_length_is_refused(
    server: Running, client: httpx.Client, kept: None, method: str
) -> None:
    paths = {
        "PUT": PATH,
        "PATCH": start(client, "bad/framing"),
        "POST": f"/v2/bad/framing/blobs/uploads/?digest={sha256(b'x')}",
    }
    before = Ledger.of(server)

    with Socket(server) as connection:
        answer = (
            connection.request(method, paths[method], TYPE, "Content-Length: 10", body=b"abc").half_close().answer()
        )

    refused(answer, 400, "BLOB_UPLOAD_INVALID", "3 bytes came")
    # What came of a stream is kept, and with it the session.
    sessions = before.rows["uploads"] + (method == "PATCH")
    assert wait_until(lambda: Ledger.of(server).rows == {**before.rows, "uploads": sessions})


@pytest.mark.parametrize(
    "body",
    [b"3\r\nabc\r\n", b"3\r\nab", b"", b"3\r\nabc\r\n0\r\n"],
    ids=["no last chunk", "half a chunk", "no chunk", "no end of the trailers"],
)
def test_chunks_without_an_end_are_refused(server: Running, kept: None, body: bytes) -> None:
    with nothing_stored(server), Socket(server) as connection:
        answer = connection.request("PUT", PATH, TYPE, "Transfer-Encoding: chunked", body=body).half_close().answer()

        refused(answer, 400, "BLOB_UPLOAD_INVALID")


@pytest.mark.parametrize(
    "size",
    [b"zz", b"-1", b"0x2", b"ffffffffffffffffff", b"", b"2 2", b"+2", b"\xb2", b"2" * 100_000, b"2;" + b"a" * 100_000],
)
def test_a_malformed_chunk_size_is_refused(server: Running, kept: None, size: bytes) -> None:
    with nothing_stored(server), Socket(server) as connection:
        connection.request("PUT", PATH, TYPE, "Transfer-Encoding: chunked")
        try:
            connection.send(size + b"\r\n{}\r\n0\r\n\r\n")
            assert connection.half_close().answer().status == 400
        except ConnectionError:
            pass  # refused before all of it was sent
        except OSError as error:
            assert error.errno  # noqa: PT017  the same, noticed later


def test_trailers_and_extensions_of_chunks_are_ignored(server: Running, kept: None) -> None:
    content = image()
    body = b"%x;a=b\r\n%b\r\n0\r\nHost: evil\r\nX-A: b\r\n\r\n" % (len(content), content)

    with Socket(server) as connection:
        assert connection.request("PUT", PATH, TYPE, "Transfer-Encoding: chunked", body=body).answer().status == 201


@pytest.mark.parametrize(
    "request_line",
    [b"GET /v2/", b"GET", b"\x16\x03\x01\x02\x00", b"GET /v2/ HTTP/9.9", b"GET\t/v2/\tHTTP/1.1",
     b"GET /v2/a\x00/ HTTP/1.1", b"GET /v2/\xff/tags/list HTTP/1.1", b"GET /v2/_catalog?last=\xff HTTP/1.1",
     b"GET /v2/ HTTP/1.1\r\nX-A: a\x00b", b"GET /v2/ HTTP/1.1\r\nno colon"],
)  # fmt: skip
def test_what_is_no_request_is_refused_and_the_connection_ends(server: Running, request_line: bytes) -> None:
    with nothing_stored(server), Socket(server) as connection:
        answer = connection.send(request_line + b"\r\nHost: 127.0.0.1\r\n\r\n").answer()

        assert answer.status == 400
        assert connection.closed()


def test_headers_of_64_mib_are_refused_early_and_not_held_in_memory(server: Running) -> None:
    before = memory(server)
    line = b"X-Long: " + b"a" * (64 * 1024) + b"\r\n"

    with nothing_stored(server), Socket(server) as connection:
        sent = 0
        connection.send(b"GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        try:
            while sent < 64 * MIB:
                connection.send(line)
                sent += len(line)
        except OSError:
            pass
        assert sent < 32 * MIB

    assert memory(server) - before < 24 * MIB


def test_one_header_of_64_mib_is_refused(server: Running) -> None:
    line = b"GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + bytes(64 * MIB).replace(b"\x00", b"a")

    with nothing_stored(server), Socket(server) as connection, pytest.raises(ConnectionError):
        connection.send(line)


def test_headers_somewhat_too_long_are_answered_with_431(server: Running) -> None:
    with nothing_stored(server), Socket(server) as connection:
        answer = connection.request("GET", "/v2/", *["X-A: b"] * 150).answer()

        assert answer.status == 431


# Expect: 100-continue


def test_a_client_that_waits_is_asked_for_its_body(server: Running, kept: None) -> None:
    content = image()

    with Socket(server) as connection:
        connection.request("PUT", PATH, TYPE, "Expect: 100-continue", f"Content-Length: {len(content)}")
        connection._until(b"100 Continue\r\n\r\n")
        answer = connection.send(content).answer()

    assert answer.status == 201


@pytest.mark.parametrize(
    ("path", "length", "status"),
    [
        ("/v2/A/manifests/latest", 10, 400),
        ("/v2/bad/framing/manifests/latest", 5 * MIB, 413),
        ("/v2/bad/framing/blobs/uploads/none", 10, 400),
        ("/v2/bad/framing/blobs/uploads/none?digest=" + sha256(b""), 10, 404),
        ("/v2/bad/framing/tags/list", 10, 405),
    ],
)
def test_a_client_that_waits_is_refused_without_its_body(
    server: Running, kept: None, path: str, length: int, status: int
) -> None:
    with nothing_stored(server), Socket(server) as connection:
        started = time.monotonic()
        connection.request("PUT", path, TYPE, "Expect: 100-continue", f"Content-Length: {length}")
        answer = connection.answer()

        assert (answer.status, answer.interim) == (status, [])
        # The body that was announced will not come; the next request needs another connection.
        assert answer.headers["connection"] == "close"
        assert time.monotonic() - started < 2


def test_an_expectation_that_nobody_knows_does_no_harm(server: Running, kept: None) -> None:
    with Socket(server) as connection:
        answer = connection.request(
            "PUT", PATH, TYPE, "Expect: a-pony", f"Content-Length: {len(image())}", body=image()
        ).answer()

    assert answer.status in {201, 417}
