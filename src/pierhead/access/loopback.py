"""The open loopback mode: no accounts, and therefore direct local clients only.

A request that came through a proxy of this host, or from a page of another site (DNS
rebinding, cross-site requests), looks local by its address; its headers give it away.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

from pierhead.access_settings import AccessSettings
from pierhead.errors import OpenModeRefused

Headers = list[tuple[bytes, bytes]]

WAYS_OUT = (
    "everybody who reaches this address could push and delete, as there are no accounts; "
    "name them with --htpasswd FILE, make the first one in a browser with --setup, "
    "or open the registry to all with --allow-anonymous"
)
_FORBIDDEN = frozenset({b"forwarded", b"via", b"x-real-ip"})
_WATCHED = frozenset({b"host", b":authority", b"origin", b"sec-fetch-site"}) | _FORBIDDEN
_LOCAL_SITES = frozenset({b"same-origin", b"none"})
_HOSTS_REMEMBERED = 256


def start_mistake(host: str, access: AccessSettings) -> str | None:
    """Why a registry without accounts may not start on this address, if so."""
    return None if access.allow_anonymous or access.setup or is_loopback(host) else WAYS_OUT


def is_loopback(host: str) -> bool:
    """Whether a host, without port or brackets, names this machine alone."""
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


class LoopbackGuard:
    """Refuses what is no direct local request. One pass over the raw headers."""

    def __init__(self) -> None:
        self._local_hosts: set[bytes] = set()

    def check(self, headers: Headers, address: str) -> None:
        """Raises OpenModeRefused."""
        # A firewall rule can lead strangers to a loopback listener.
        if address != "127.0.0.1" and not is_loopback(address):
            raise OpenModeRefused("the client is not on this machine")
        hosts_seen = False
        for name, value in headers:
            if name in _WATCHED:
                if name in (b"host", b":authority"):
                    hosts_seen = True
                    if value in self._local_hosts:
                        continue
                self._check_one(name, value)
            elif name.startswith(b"x-forwarded-"):
                raise OpenModeRefused(_proxied(name))
        if not hosts_seen:
            raise OpenModeRefused("the request has no Host")

    def _check_one(self, name: bytes, value: bytes) -> None:
        if name in _FORBIDDEN:
            raise OpenModeRefused(_proxied(name))
        if name == b"sec-fetch-site":
            if value not in _LOCAL_SITES:
                raise OpenModeRefused("the request was made by a page of another site")
        elif name == b"origin":
            _check_origin(value)
        else:
            self._check_host(value)

    def _check_host(self, value: bytes) -> None:
        host = _host_of(b"//" + value)
        if not is_loopback(host):
            raise OpenModeRefused(f"the Host {value[:80].decode('latin-1')!r} is not this machine's loopback")
        # Bounded: `<anything>.localhost` is local too.
        if len(self._local_hosts) < _HOSTS_REMEMBERED:
            self._local_hosts.add(value)


def _proxied(name: bytes) -> str:
    return f"the request came through a proxy ({name.decode('latin-1')})"


def _check_origin(value: bytes) -> None:
    if not is_loopback(_host_of(value)):
        raise OpenModeRefused(f"the Origin {value[:80].decode('latin-1')!r} is foreign")


def _host_of(url: bytes) -> str:
    """The host of a URL or of `//host:port`; empty where it has none, or is malformed."""
    try:
        parts = urlsplit(url.decode("ascii"))
        if parts.username is not None or parts.path not in ("", "/"):
            return ""
        _ = parts.port  # raises for what is no port
        return parts.hostname or ""
    except ValueError:
        return ""
