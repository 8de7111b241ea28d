"""Search filters (RFC 4515) with texts of others in them."""

import re
import string

_PLAIN = frozenset((string.ascii_letters + string.digits).encode())
_PLACE = re.compile(r"\{(login|name|dn)\}")


def escaped(text: str) -> str:
    r"""Each byte but plain letters and digits as \xx: no reader of a filter can take any of them for syntax."""
    return "".join(chr(byte) if byte in _PLAIN else f"\\{byte:02x}" for byte in text.encode("utf-8"))


def filled(template: str, **texts: str) -> str:
    """In one pass, so that a text which says {dn} itself stays what it is."""
    return _PLACE.sub(lambda place: escaped(texts[place[1]]) if place[1] in texts else place[0], template)


def any_of(filters: list[str]) -> str:
    return filters[0] if len(filters) == 1 else f"(|{''.join(filters)})"
