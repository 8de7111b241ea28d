"""Where requests of the registry may go: the addresses of servers as text, and which of the network's are public."""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

# Strict, so that no two parsers read it differently: no user, no fragment, no backslash, no escapes in the host.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]{2,45}\]|[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)(:(?P<port>\d{1,5}))?"
    r"(/[!\"$-\[\]-~]*)?",
    re.ASCII | re.IGNORECASE,
)
_LOOPBACK = re.compile(r"localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\]", re.ASCII | re.IGNORECASE)
_GLOBAL_IPV6 = IPv6Network("2000::/3")
# IPv4 in the clothes of IPv6: tunnels lead where their owner says, and NAT64 to the address at its end.
_TUNNELS = (IPv6Network("2001::/32"), IPv6Network("2002::/16"))
_NAT64 = IPv6Network("64:ff9b::/96")
_PORT_MAX = 65535
# What one customer is given of IPv6 at least (RFC 6177): to count its addresses one by one counts nothing.
_ONE_CUSTOMER = 64


def is_usable(url: str) -> bool:
    """Whether a server may be asked there: over https, and over plain http on this machine only."""
    matched = _URL.fullmatch(url)
    if matched is None or not 0 < int(matched["port"] or 1) <= _PORT_MAX:
        return False
    return matched["scheme"].lower() == "https" or _LOOPBACK.fullmatch(matched["host"]) is not None


def is_public(address: Address) -> bool:
    """Whether an address belongs to the Internet, and to nobody's own network."""
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast
    if address.ipv4_mapped:
        return is_public(address.ipv4_mapped)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return address in _GLOBAL_IPV6 and address.is_global and not any(address in tunnel for tunnel in _TUNNELS)


@lru_cache(maxsize=4096)
def countable(address: str) -> str:
    """By what a client is counted that has an address: that of IPv4, of IPv6 its network, else what was given."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv4Address) or parsed.ipv4_mapped:
        return str(getattr(parsed, "ipv4_mapped", None) or parsed)
    return str(IPv6Network((int(parsed), _ONE_CUSTOMER), strict=False))
