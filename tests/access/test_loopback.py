"""The open loopback mode: who may come in when there are no accounts."""

import pytest

from pierhead.access.loopback import LoopbackGuard, is_loopback, start_mistake
from pierhead.access_settings import AccessSettings
from pierhead.errors import OpenModeRefused

HOST = (b"host", b"127.0.0.1:5000")


@pytest.mark.parametrize(
    "host",
    [
        b"localhost",
        b"LocalHost:5000",
        b"localhost.",
        b"registry.localhost:5000",
        b"127.0.0.1",
        b"127.8.9.10:1",
        b"[::1]:5000",
        b"[::1]",
        b"[::ffff:127.0.0.1]:5000",
    ],
)
def test_a_local_host_is_let_in(host: bytes) -> None:
    guard = LoopbackGuard()

    for _ in range(2):
        guard.check([(b"accept", b"*/*"), (b"host", host)], "127.0.0.1")


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example",
        b"localhost.evil.example",
        b"evillocalhost",
        b"127.0.0.1.evil.example",
        b"evil.example@127.0.0.1",
        b"127.0.0.1@evil.example",
        b"10.0.0.1",
        b"0.0.0.0",
        b"[::]",
        b"[::1",
        b"127.0.0.1:port",
        b"127.1",
        b"2130706433",
        b"",
        b"\xff",
        b"localhost/x",
    ],
)
def test_any_other_host_is_refused(host: bytes) -> None:
    with pytest.raises(OpenModeRefused):
        LoopbackGuard().check([(b"host", host)], "127.0.0.1")


def test_a_second_foreign_host_is_seen_behind_a_local_one() -> None:
    with pytest.raises(OpenModeRefused):
        LoopbackGuard().check([HOST, (b"host", b"evil.example")], "127.0.0.1")


def test_a_request_without_host_is_refused() -> None:
    with pytest.raises(OpenModeRefused):
        LoopbackGuard().check([], "127.0.0.1")


@pytest.mark.parametrize(
    "header",
    [
        (b"forwarded", b"for=127.0.0.1"),
        (b"via", b"1.1 proxy"),
        (b"x-real-ip", b"127.0.0.1"),
        (b"x-forwarded-for", b"127.0.0.1"),
        (b"x-forwarded-proto", b"http"),
        (b"x-forwarded-anything", b""),
        (b"origin", b"https://evil.example"),
        (b"origin", b"null"),
        (b"origin", b""),
        (b"sec-fetch-site", b"cross-site"),
        (b"sec-fetch-site", b"same-site"),
    ],
)
def test_a_proxy_or_a_foreign_page_gives_itself_away(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(OpenModeRefused):
        LoopbackGuard().check([HOST, header], "127.0.0.1")


@pytest.mark.parametrize(
    "header",
    [(b"origin", b"http://localhost:5000"), (b"sec-fetch-site", b"same-origin"), (b"sec-fetch-site", b"none")],
)
def test_a_local_page_is_let_in(header: tuple[bytes, bytes]) -> None:
    LoopbackGuard().check([HOST, header], "::1")


def test_a_client_of_another_machine_is_refused() -> None:
    with pytest.raises(OpenModeRefused):
        LoopbackGuard().check([HOST], "10.0.0.7")


def test_the_hosts_remembered_are_bounded() -> None:
    guard = LoopbackGuard()

    for number in range(2000):
        guard.check([(b"host", b"%d.localhost" % number)], "127.0.0.1")

    assert len(guard._local_hosts) <= 256


def test_the_start_elsewhere_names_the_ways_out() -> None:
    told = start_mistake("0.0.0.0", AccessSettings()) or ""

    assert "--htpasswd FILE" in told
    assert "--setup" in told
    assert "--allow-anonymous" in told
    assert start_mistake("127.0.0.1", AccessSettings()) is None
    assert start_mistake("0.0.0.0", AccessSettings(allow_anonymous=True)) is None
    assert start_mistake("0.0.0.0", AccessSettings(setup=True)) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org", ""])
def test_what_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)
