"""Whom trusted proxies speak for."""

from ipaddress import ip_network

import pytest

from pierhead.access.proxy import Client, Proxies

PROXIES = Proxies((ip_network("10.0.0.0/8"), ip_network("::1/128")))
Header = tuple[bytes, bytes]


def client(*headers: Header, peer: str = "10.0.0.1", proxies: Proxies = PROXIES) -> Client:
    return proxies.client(peer, list(headers), scheme="http", host="internal:5000")


def test_an_untrusted_peer_speaks_for_itself() -> None:
    assert client((b"x-forwarded-for", b"1.2.3.4"), peer="9.9.9.9") == Client("9.9.9.9", "http", "internal:5000")


def test_with_no_proxies_nothing_is_believed() -> None:
    assert client((b"forwarded", b"for=1.2.3.4"), proxies=Proxies(())).address == "10.0.0.1"


def test_a_trusted_peer_tells_address_scheme_and_host() -> None:
    told = client(
        (b"x-forwarded-for", b"1.2.3.4"), (b"x-forwarded-proto", b"https"), (b"x-forwarded-host", b"hub.example")
    )

    assert told == Client("1.2.3.4", "https", "hub.example")


@pytest.mark.parametrize(
    ("hops", "address"),
    [
        (b"6.6.6.6, 1.2.3.4", "1.2.3.4"),
        (b"6.6.6.6, 1.2.3.4, 10.0.0.2", "1.2.3.4"),
        (b"10.0.0.3, 10.0.0.2", "10.0.0.3"),
        (b"1.2.3.4:5678", "1.2.3.4"),
        (b"[2001:db8::1]:443", "2001:db8::1"),
        (b"2001:db8::1", "2001:db8::1"),
        (b"1.2.3.4, unknown", "10.0.0.1"),
        (b"1.2.3.4, unknown, 10.0.0.2", "10.0.0.2"),
        (b"", "10.0.0.1"),
        (b",,,", "10.0.0.1"),
        (b"\xff", "10.0.0.1"),
    ],
)
def test_the_right_most_untrusted_hop_is_the_client(hops: bytes, address: str) -> None:
    assert client((b"x-forwarded-for", hops)).address == address


def test_several_lines_are_one_list() -> None:
    assert client((b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-for", b"1.2.3.4")).address == "1.2.3.4"


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        (b"for=1.2.3.4;proto=https;host=hub.example", Client("1.2.3.4", "https", "hub.example")),
        (b'For="[2001:db8::1]:4711"', Client("2001:db8::1", "http", "internal:5000")),
        (b"for=6.6.6.6;proto=https, for=1.2.3.4", Client("1.2.3.4", "http", "internal:5000")),
        (b"for=1.2.3.4;host=a, for=10.0.0.2;host=b", Client("1.2.3.4", "http", "a")),
        (b'for=1.2.3.4;host="hub.example:443"', Client("1.2.3.4", "http", "hub.example:443")),
        (b"for=_hidden, for=10.0.0.2", Client("10.0.0.2", "http", "internal:5000")),
        (b'for="1.2.3.4', Client("10.0.0.1", "http", "internal:5000")),
        (b"nonsense", Client("10.0.0.1", "http", "internal:5000")),
        (b'for=1.2.3.4;proto=javascript;host="a b"', Client("1.2.3.4", "http", "internal:5000")),
    ],
)
def test_the_standard_header_is_read(forwarded: bytes, expected: Client) -> None:
    assert client((b"forwarded", forwarded)) == expected


def test_two_headers_that_disagree_are_both_ignored() -> None:
    smuggled = client((b"forwarded", b"for=127.0.0.1"), (b"x-forwarded-for", b"1.2.3.4"))

    assert smuggled.address == "10.0.0.1"


def test_two_headers_that_agree_are_believed() -> None:
    assert client((b"forwarded", b"for=1.2.3.4"), (b"x-forwarded-for", b"1.2.3.4")).address == "1.2.3.4"


def test_a_mapped_address_is_the_address_it_maps() -> None:
    assert client((b"x-forwarded-for", b"1.2.3.4"), peer="::ffff:10.0.0.1").address == "1.2.3.4"
