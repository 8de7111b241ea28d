"""The client behind trusted proxies: its address, scheme and host.

`Forwarded` (RFC 7239) and X-Forwarded-* are believed from trusted peers only, and read
from the right: each proxy appends, so the right-most untrusted hop is the client.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address

Headers = list[tuple[bytes, bytes]]

HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]{1,255})(:\d{1,5})?", re.ASCII)
# RFC 7239, section 4: token "=" ( token / quoted-string ), parted by ; within and , between elements.
_PAIR = re.compile(r'\s*([A-Za-z]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;,"]*)\s*([;,]|$)', re.ASCII)
_PORT = re.compile(r":\d{1,5}")


@dataclass(frozen=True, slots=True)
class Client:
    address: str
    scheme: str
    host: str  # with its port, as the client wrote it


class Proxies:
    """Which peers are trusted, and what they say."""

    def __init__(self, networks: tuple[IPv4Network | IPv6Network, ...]) -> None:
        self._networks = networks
        self.trusts = lru_cache(maxsize=4096)(self._trusts)

    def client(self, peer: str, headers: Headers, *, scheme: str, host: str) -> Client:
        """Who asks, where `peer` is the other end of the connection."""
        direct = Client(peer, scheme, host)
        if not self._networks or not self.trusts(peer):
            return direct
        standard = _elements(_joined(headers, b"forwarded"))
        told = self._from_forwarded(standard, direct) if standard else None
        customary = self._from_x_forwarded(headers, direct)
        if told and customary:
            # A proxy writes one of the two and may pass on the other as its client wrote it.
            return told if told.address == customary.address else direct
        return told or customary or direct

    def _trusts(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        return any(parsed in network for network in self._networks)

    def _from_forwarded(self, elements: list[dict[str, str]], direct: Client) -> Client:
        address = direct.address
        found: dict[str, str] = {}
        for element in reversed(elements):
            hop = _address(element.get("for", ""))
            if hop is None:
                break
            address, found = hop, element
            if not self.trusts(hop):
                break
        return _client(address, found.get("proto", ""), found.get("host", ""), direct)

    def _from_x_forwarded(self, headers: Headers, direct: Client) -> Client | None:
        hops, proto, host = (
            _joined(headers, name) for name in (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
        )
        if not (hops or proto or host):
            return None
        address = self._right_most_untrusted(hops, direct.address)
        # The nearest proxy's word, which is the last, for what is no chain of hops.
        return _client(address, _last(proto), _last(host), direct)

    def _right_most_untrusted(self, hops: str, address: str) -> str:
        for text in reversed(hops.split(",")):
            hop = _address(text.strip())
            if hop is None:
                break
            address = hop
            if not self.trusts(hop):
                break
        return address


def _client(address: str, scheme: str, host: str, direct: Client) -> Client:
    scheme = scheme.lower()
    return Client(
        address,
        scheme if scheme in ("http", "https") else direct.scheme,
        host if HOST.fullmatch(host) else direct.host,
    )


def _joined(headers: Headers, wanted: bytes) -> str:
    """A header that was sent in several lines is one list (RFC 9110, section 5.3)."""
    return ",".join(value.decode("latin-1") for name, value in headers if name == wanted)


def _last(text: str) -> str:
    return text.rpartition(",")[2].strip()


def _address(text: str) -> str | None:
    """The address of a hop with or without port; None for `unknown`, `_hidden` and nonsense."""
    if text.startswith("["):
        text, _, port = text[1:].partition("]")
        if port and not _PORT.fullmatch(port):
            return None
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return None


def _elements(text: str) -> list[dict[str, str]]:
    """The elements of a Forwarded header; none of them where it is malformed."""
    elements: list[dict[str, str]] = [{}]
    position = 0
    while position < len(text):
        pair = _PAIR.match(text, position)
        if pair is None:
            return []
        name, value, end = pair.groups()
        elements[-1][name.lower()] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        if end == ",":
            elements.append({})
        position = pair.end()
    return [element for element in elements if element]
