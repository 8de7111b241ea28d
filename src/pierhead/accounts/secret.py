"""The secrets of tokens, as their owners see them: `phd_pat_<id>_<secret><checksum>`.

The prefix tells scanners of secrets and people what they found, the checksum that it is whole (CRC-32: it keeps
mistakes out, not attackers). What is kept is a SHA-256 alone: the secret has 256 random bits, nobody guesses it.
"""

import hashlib
import re
import secrets
import zlib
from dataclasses import dataclass
from typing import Literal

Kind = Literal["personal", "robot", "refresh"]

_PREFIXES: dict[Kind, str] = {"personal": "pat", "robot": "robot", "refresh": "refresh"}
_KINDS = {prefix: kind for kind, prefix in _PREFIXES.items()}
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET, _CHECKSUM = 43, 6  # digits that 256 and 32 bits take
_TEXT = re.compile(rf"phd_(pat|robot|refresh)_([0-9]{{1,18}})_([0-9A-Za-z]{{{_SECRET}}})([0-9A-Za-z]{{{_CHECKSUM}}})")


@dataclass(frozen=True, slots=True)
class Told:
    """What a secret says of itself."""

    kind: Kind
    id: int  # of its row
    hashed: bytes


def draw() -> str:
    """A new one, without what tells of its row."""
    return _base62(secrets.randbits(256), _SECRET)


def hashed(drawn: str) -> bytes:
    """What is kept of it."""
    return hashlib.sha256(drawn.encode()).digest()


def show(kind: Kind, token_id: int, drawn: str) -> str:
    """As its owner sees it, once."""
    head = f"phd_{_PREFIXES[kind]}_{token_id}_{drawn}"
    return head + _checksum(head)


def read(text: str) -> Told | None:
    """None for what is none, or is not whole."""
    matched = _TEXT.fullmatch(text)
    if matched is None or _checksum(text[:-_CHECKSUM]) != matched[4]:
        return None
    return Told(_KINDS[matched[1]], int(matched[2]), hashed(matched[3]))


def _checksum(head: str) -> str:
    return _base62(zlib.crc32(head.encode()), _CHECKSUM)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
