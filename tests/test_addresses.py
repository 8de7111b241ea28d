"""Where requests of the registry may go."""

from ipaddress import ip_address

import pytest

from pierhead.addresses import is_public, is_usable


@pytest.mark.parametrize(
    "url",
    [
        "https://issuer.example.org",
        "https://issuer.example.org:8443/realms/registry",
        "https://[2606:4700::1111]/jwks?version=2",
        "http://127.0.0.1:9000/",
        "http://localhost",
        "http://[::1]:80",
    ],
)
def test_https_may_be_asked_and_plain_http_on_this_machine(url: str) -> None:
    assert is_usable(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example.org",
        "http://127.0.0.1.example.org",
        "http://localhost.example.org",
        "https://user:password@issuer.example.org",
        "https://issuer.example.org@evil.example",
        "https://issuer.example.org\\@evil.example",
        "https://issuer.example.org#evil.example",
        "https://issuer.example.org/#x",
        "https://issuer.example.org:0",
        "https://issuer.example.org:65536",
        "https://issuer.example.org:port",
        "https://issuer%2eexample.org",
        "https://issüer.example.org",
        "https://issuer.example.org/a b",
        "https://issuer.example.org/\r\nx: y",
        "https://",
        "https:///path",
        "ftp://issuer.example.org",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "issuer.example.org",
        "",
    ],
)
def test_nothing_that_is_read_in_two_ways_may_be_asked(url: str) -> None:
    assert not is_usable(url)


@pytest.mark.parametrize("address", ["1.1.1.1", "198.41.0.4", "2606:4700::1111", "64:ff9b::101:101"])
def test_what_belongs_to_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",  # of a provider's own network
        "127.0.0.1",
        "169.254.169.254",  # where clouds tell a machine its secrets
        "172.31.0.1",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:a9fe:a9fe",
        "::127.0.0.1",
        "64:ff9b::a9fe:a9fe",  # 169.254.169.254 behind NAT64
        "64:ff9b:1::1",
        "2001:0:a9fe:a9fe::1",  # in a Teredo tunnel
        "2002:7f00:1::",  # 127.0.0.1 behind 6to4
        "2001:db8::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ],
)
def test_what_belongs_to_a_machine_or_to_somebodys_network_is_not(address: str) -> None:
    assert not is_public(ip_address(address))
