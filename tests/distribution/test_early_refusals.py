"""A refusal that comes before a large body has been read still reaches the client, every time."""

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests import profiles
from tests.distribution.logs import failures
from tests.distribution.wire import Socket, push_blob, refused, sha256, start
from tests.running import Running, serving

MIB = 1 << 20
BODY = 64 * MIB
PIECE = bytes(MIB)
TIMES = 20 if not profiles.SOAK else 500
H2_BODY = 8 * MIB
H2_TIMES = 3 if not profiles.SOAK else 100


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with accounts and TLS."""
    folder: Path = tmp_path_factory.mktemp("guarded")
    certificate, key, accounts = folder / "certificate.pem", folder / "key.pem", folder / "accounts"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", key, "-out", certificate, "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    accounts.write_text("ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")  # password
    arguments = ("--htpasswd", str(accounts), "--tls-certificate", str(certificate), "--tls-key", str(key))
    with serving(folder / "data", "--workers", "2", *arguments) as running:
        yield running
    assert failures(running.log) == []


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with accounts, without TLS."""
    folder: Path = tmp_path_factory.mktemp("closed")
    accounts = folder / "accounts"
    accounts.write_text("ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")
    with serving(folder / "data", "--workers", "2", "--htpasswd", str(accounts)) as running:
        yield running
    assert failures(running.log) == []


def _send(connection: Socket, *, chunked: bool) -> None:
    """A body as a simple client sends it: all of it, whatever the server says meanwhile."""
    frame = b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if chunked else PIECE
    for _ in range(BODY // len(PIECE)):
        connection.send(frame)
    if chunked:
        connection.send(b"0\r\n\r\n")


def _framing(*, chunked: bool) -> str:
    return "Transfer-Encoding: chunked" if chunked else f"Content-Length: {BODY}"


@pytest.mark.parametrize("expecting", [False, True], ids=["plain", "expecting but not waiting"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("status", [401, 404, 413, 416])
def test_a_refusal_reaches_a_client_that_sends_its_whole_body_first(  # noqa: PLR0917  a table with three sides
    server: Running, closed: Running, client: httpx.Client, status: int, chunked: bool, expecting: bool
) -> None:
    code, method, path, more = {
        401: ("UNAUTHORIZED", "PATCH", "/v2/early/blobs/uploads/x", []),
        404: ("BLOB_UPLOAD_UNKNOWN", "PATCH", "/v2/early/blobs/uploads/x", []),
        413: ("SIZE_INVALID", "PUT", "/v2/early/manifests/latest", []),
        416: ("BLOB_UPLOAD_INVALID", "PATCH", start(client, "early"), [f"Content-Range: 1-{BODY}"]),
    }[status]
    asked, headers = closed if status == 401 else server, list(more)
    if expecting:
        headers.append("Expect: 100-continue")

    for _ in range(TIMES if not expecting else 5):
        with Socket(asked) as connection:
            connection.request(method, path, _framing(chunked=chunked), *headers)
            _send(connection, chunked=chunked)
            refused(connection.answer(), status, code)


def test_a_client_may_go_on_with_the_connection_after_a_refused_body(server: Running) -> None:
    with Socket(server) as connection:
        connection.request("PATCH", "/v2/early/blobs/uploads/x", f"Content-Length: {BODY}")
        _send(connection, chunked=False)
        first = connection.answer()
        second = connection.request("GET", "/v2/").answer()

    assert (first.status, second.status) == (404, 200)


def test_a_refusal_comes_at_once_to_a_client_that_sends_nothing_more(server: Running) -> None:
    with Socket(server, timeout=3) as connection:
        answer = connection.request("PATCH", "/v2/early/blobs/uploads/x", f"Content-Length: {BODY}").answer()

    assert answer.status == 404


def test_a_repeated_put_with_its_whole_body_is_answered_201(server: Running, client: httpx.Client) -> None:
    location, content = start(client, "early"), bytes(8 * MIB)
    digest = sha256(content)

    for _ in range(5):
        assert client.put(location, params={"digest": digest}, content=content).status_code == 201


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
@pytest.mark.parametrize("streamed", [False, True], ids=["length", "streamed"])
@pytest.mark.parametrize("status", [401, 404, 413, 416])
def test_a_refusal_reaches_a_client_over_tls(guarded: Running, status: int, streamed: bool, http2: bool) -> None:
    context = ssl.create_default_context(cafile=str(guarded.data.parent / "certificate.pem"))
    auth = None if status == 401 else ("ann", "password")
    with httpx.Client(base_url=guarded.url, http2=http2, verify=context, auth=auth, timeout=60) as client:
        location = start(client, "early") if auth else "/v2/early/blobs/uploads/x"
        method, path, headers = {
            401: ("PATCH", "/v2/early/blobs/uploads/x", {}),
            404: ("PATCH", "/v2/early/blobs/uploads/x", {}),
            413: ("PUT", "/v2/early/manifests/latest", {}),
            416: ("PATCH", location, {"content-range": f"1-{H2_BODY}"}),
        }[status]

        for _ in range(H2_TIMES):
            content = iter([PIECE] * (H2_BODY // MIB)) if streamed else bytes(H2_BODY)
            response = client.request(method, path, headers=headers, content=content)
            assert response.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
            assert response.status_code == status, response.text


def test_a_head_over_http_2_has_no_body_when_it_is_refused(guarded: Running) -> None:
    context = ssl.create_default_context(cafile=str(guarded.data.parent / "certificate.pem"))
    with httpx.Client(base_url=guarded.url, http2=True, verify=context, auth=("ann", "password")) as client:
        response = client.head("/v2/early/manifests/none")
        pushed = push_blob(client, "early", b"bytes")
        found = client.head(f"/v2/early/blobs/{pushed}")

        assert (response.status_code, response.content) == (404, b"")
        assert (found.status_code, found.content, found.headers["content-length"]) == (200, b"", "5")
