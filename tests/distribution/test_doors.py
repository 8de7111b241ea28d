"""Who may come in: the open mode on loopback, pages of other origins, and a start that is refused."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.distribution.logs import failures
from tests.distribution.wire import Socket, nothing_stored, refused, sha256
from tests.running import Running, free_port, serving

ORIGIN = "https://ui.example.org"


@pytest.mark.parametrize(
    "header",
    [
        "Forwarded: for=192.0.2.1",
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-Host: registry.example.org",
        "X-Forwarded-Proto: https",
        "x-forwarded-anything: 1",
        "Via: 1.1 proxy",
        "X-Real-IP: 192.0.2.1",
        "Origin: https://evil.example.org",
        "Origin: null",
        "Origin: http://127.0.0.1.evil.example.org",
        "Origin: http://127.0.0.1@evil.example.org",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_open_mode_refuses_what_is_no_direct_local_request(server: Running, header: str, method: str) -> None:
    path = f"/v2/doors/blobs/uploads/?digest={sha256(b'x')}" if method == "POST" else "/v2/"
    body = b"x" if method == "POST" else b""

    with nothing_stored(server), Socket(server) as connection:
        answer = connection.request(method, path, header, f"Content-Length: {len(body)}", body=body).answer()

    refused(answer, 403, "DENIED", "--allow-anonymous")


@pytest.mark.parametrize(
    "host",
    ["registry.example.org", "192.0.2.1", "127.0.0.1.evil.example.org", "localhost.evil.example.org",
     "127.0.0.1@evil.example.org", "", "[::ffff:192.0.2.1]", "0.0.0.0", "127.0.0.1:x", "127.0.0.1, evil.example.org"],
)  # fmt: skip
def test_the_open_mode_refuses_a_foreign_host(server: Running, host: str) -> None:
    with nothing_stored(server), Socket(server) as connection:
        answer = connection.send(f"GET /v2/ HTTP/1.1\r\nHost: {host}\r\n\r\n").answer()

    refused(answer, 403, "DENIED", "--allow-anonymous")


def test_the_open_mode_refuses_a_second_foreign_host(server: Running) -> None:
    with Socket(server) as connection:
        answer = connection.request("GET", "/v2/", "Host: evil.example.org").answer()

    assert answer.status in {400, 403}


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "LOCALHOST:5000", "127.8.9.10:80", "[::1]:5000", "app.localhost"]
)
def test_the_open_mode_serves_local_hosts(server: Running, host: str) -> None:
    with Socket(server) as connection:
        assert connection.send(f"GET /v2/ HTTP/1.1\r\nHost: {host}\r\n\r\n").answer().status == 200


@pytest.mark.parametrize(
    "header", ["Origin: http://localhost:3000", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: none"]
)
def test_the_open_mode_serves_local_pages(server: Running, header: str) -> None:
    with Socket(server) as connection:
        assert connection.request("GET", "/v2/", header).answer().status == 200


def test_pages_of_other_origins_are_not_let_in_unless_a_setting_says_so(client: httpx.Client) -> None:
    response = client.get("/v2/", headers={"origin": "http://localhost:3000"})
    asked = client.options("/v2/", headers={"origin": "http://localhost:3000", "access-control-request-method": "GET"})

    assert not [name for name in response.headers if name.startswith("access-control-")]
    refused(asked, 405, "UNSUPPORTED")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that lets a page of another origin in."""
    data = tmp_path_factory.mktemp("shared") / "data"
    with serving(
        data, "--workers", "1", "--allow-anonymous", environment={"PIERHEAD_CORS_ALLOW_ORIGINS": ORIGIN}
    ) as running:
        yield running
    assert failures(running.log) == []


def test_an_origin_of_the_setting_is_let_in(shared: Running) -> None:
    with httpx.Client(base_url=shared.url, headers={"origin": ORIGIN}) as client:
        asked = client.options("/v2/a/manifests/b", headers={"access-control-request-method": "PUT"})
        found = client.get("/v2/")
        missing = client.get("/v2/a/manifests/b")

    assert asked.status_code == 204
    assert "PUT" in asked.headers["access-control-allow-methods"]
    assert asked.content == b""
    for response in (asked, found, missing):
        assert response.headers["access-control-allow-origin"] == ORIGIN
        assert response.headers["vary"] == "Origin"
    assert "Docker-Content-Digest" in found.headers["access-control-expose-headers"]


@pytest.mark.parametrize("origin", ["https://evil.example.org", f"{ORIGIN}.evil.org", "null", ORIGIN.upper() + "X", ""])
def test_another_origin_is_not_let_in(shared: Running, origin: str) -> None:
    response = httpx.get(f"{shared.url}/v2/", headers={"origin": origin})

    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("header", ["Via", "X-Forwarded-For", "Forwarded"])
def test_a_server_that_is_open_to_all_may_stand_behind_a_proxy(shared: Running, header: str) -> None:
    assert httpx.get(f"{shared.url}/v2/", headers={header: "1.1 proxy"}).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_without_accounts_other_addresses_are_not_served(tmp_path: Path, host: str) -> None:
    command = [
        sys.executable,
        "-m",
        "pierhead.cli.main",
        "serve",
        "--host",
        host,
        "--port",
        str(free_port()),
        "--data",
        str(tmp_path / "data"),
    ]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    assert ended.returncode != 0
    assert "--htpasswd" in ended.stderr
    assert "--setup" in ended.stderr
    assert "--allow-anonymous" in ended.stderr
    assert "Traceback" not in ended.stderr
