"""Requests of the registry to other servers."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from pierhead.issuer_settings import OutboundSettings
from pierhead.outbound import Outbound, OutboundFailed
from tests.clients.certificates import Certificate, certificate
from tests.servers.rogue_issuer import Rogue, rogue_issuer

pytestmark = pytest.mark.anyio

LOOPBACK = (ip_network("127.0.0.0/8"),)
SMALL = OutboundSettings(max_bytes=16 * 1024)
SHORT = OutboundSettings(seconds=0.3, connect_seconds=0.3)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def server() -> Iterator[Rogue]:
    with rogue_issuer() as rogue:
        yield rogue


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("tls"), "issuer.example.org")


def port_of(server: Rogue) -> str:
    return server.url.rpartition(":")[2]


async def failure(outbound: Outbound, url: str) -> str:
    with pytest.raises(OutboundFailed) as caught:
        await outbound.get(url)
    return str(caught.value)


async def test_a_document_comes_as_it_is(server: Rogue) -> None:
    server.gives("/document", b"whole")

    assert await Outbound(OutboundSettings()).get(f"{server.url}/document") == b"whole"


async def test_what_is_not_there_is_no_document(server: Rogue) -> None:
    assert "answers 404" in await failure(Outbound(OutboundSettings()), f"{server.url}/nothing")


async def test_a_redirect_is_not_followed(server: Rogue) -> None:
    server.gives("/document", b"", 302, location=f"{server.url}/elsewhere")

    assert "answers 302" in await failure(Outbound(OutboundSettings()), f"{server.url}/document")
    assert server.asked == ["/document"]


async def test_an_answer_that_is_too_long_is_not_read_to_its_end(server: Rogue) -> None:
    server.gives("/document", bytes(SMALL.max_bytes + 1))

    assert "outbound.max_bytes" in await failure(Outbound(SMALL), f"{server.url}/document")


async def test_an_answer_that_would_unfold_is_not_read(server: Rogue) -> None:
    server.gives("/document", b"\x1f\x8b", content_encoding="gzip")

    assert "encoding" in await failure(Outbound(SMALL), f"{server.url}/document")
    assert server.headers[0]["accept-encoding"] == "identity"


async def test_a_server_that_hangs_is_given_up(server: Rogue) -> None:
    over = threading.Event()
    server.answers["/document"] = lambda _: (over.wait(10), (200, b"", {}))[1]
    began = time.monotonic()

    assert "within 0.3 seconds" in await failure(Outbound(SHORT), f"{server.url}/document")
    over.set()
    assert time.monotonic() - began < 3


async def test_a_server_that_drips_is_given_up() -> None:
    left = asyncio.Event()

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b".")
            await asyncio.sleep(0.05)
        left.set()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as dripping:
        port = dripping.sockets[0].getsockname()[1]

        assert "within 0.3 seconds" in await failure(Outbound(SHORT), f"http://127.0.0.1:{port}/document")
        await left.wait()


async def test_nobody_there_is_told_as_such(server: Rogue) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))

        assert "cannot be asked" in await failure(Outbound(SMALL), f"http://127.0.0.1:{unused.getsockname()[1]}/")


async def test_plain_http_is_not_asked_elsewhere() -> None:
    assert "no https:// address" in await failure(Outbound(SMALL), "http://issuer.example.org/")


async def test_a_certificate_that_nobody_vouches_for_is_refused(tls: Certificate) -> None:
    with rogue_issuer(tls) as server:
        server.gives("/document", b"whole")

        assert "CERTIFICATE_VERIFY_FAILED" in await failure(Outbound(SMALL), f"{server.url}/document")
        assert await Outbound(SMALL, certificates=tls.path).get(f"{server.url}/document") == b"whole"


async def test_certificates_that_cannot_be_read_are_told_as_such(server: Rogue, tmp_path: Path) -> None:
    assert "cannot be asked" in await failure(Outbound(SMALL, certificates=tmp_path / "none"), f"{server.url}/jwks")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1.2.3"])
async def test_the_guard_refuses_what_leads_into_the_own_network(server: Rogue, host: str) -> None:
    told = await failure(Outbound(SMALL, guarded=True), f"http://{host}:{port_of(server)}/jwks")

    assert "is not public" in told
    assert server.asked == []


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "017700000001"])
async def test_the_guard_sees_through_other_ways_to_write_an_address(server: Rogue, host: str) -> None:
    told = await failure(Outbound(SMALL, guarded=True), f"https://{host}:{port_of(server)}/jwks")

    assert "127.0.0.1, which is not public" in told


async def test_the_guard_lets_through_what_a_setting_lists(server: Rogue) -> None:
    settings = OutboundSettings(private_networks=LOOPBACK)

    assert b"keys" in await Outbound(settings, guarded=True).get(f"http://localhost:{port_of(server)}/jwks")
    assert server.headers[0]["host"] == f"localhost:{port_of(server)}"


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """A name server that answers this, one after another; the list tells what it was asked for."""
    left, asked = list(answers), []

    async def getaddrinfo(_: object, host: str, port: int, **__: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in left.pop(0)]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return asked


async def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["1.1.1.1", "10.0.0.1"])

    assert "10.0.0.1, which is not public" in await failure(Outbound(SMALL, guarded=True), "https://issuer.example.org")


async def test_a_guarded_host_is_resolved_once_and_its_certificate_is_for_its_name(
    tls: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second answer of the name server would lead elsewhere; nobody asks for it."""
    asked = resolving(monkeypatch, ["127.0.0.1"], ["127.0.0.9"])
    settings = OutboundSettings(private_networks=LOOPBACK)
    with rogue_issuer(tls) as server:
        outbound = Outbound(settings, certificates=tls.path, guarded=True)

        assert b"keys" in await outbound.get(f"https://issuer.example.org:{port_of(server)}/jwks")
        assert asked == ["issuer.example.org"]
        assert server.headers[0]["host"] == f"issuer.example.org:{port_of(server)}"


async def test_a_guarded_host_with_another_certificate_is_refused(
    tls: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, ["127.0.0.1"])
    settings = OutboundSettings(private_networks=LOOPBACK)
    with rogue_issuer(tls) as server:
        outbound = Outbound(settings, certificates=tls.path, guarded=True)

        told = await failure(outbound, f"https://other.example.org:{port_of(server)}/jwks")

    assert "CERTIFICATE_VERIFY_FAILED" in told


async def test_the_next_address_is_tried_where_one_does_not_answer(
    server: Rogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, ["127.0.0.9", "127.0.0.1"])
    settings = OutboundSettings(private_networks=LOOPBACK)

    assert b"keys" in await Outbound(settings, guarded=True).get(f"http://localhost:{port_of(server)}/jwks")


async def test_a_guarded_request_goes_through_no_proxy(server: Rogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which would resolve the host itself."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    settings = OutboundSettings(private_networks=LOOPBACK)

    assert b"keys" in await Outbound(settings, guarded=True).get(f"{server.url}/jwks")
