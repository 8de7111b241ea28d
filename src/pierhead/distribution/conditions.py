"""Conditional and range requests (RFC 9110 §13 and §14). Pure functions."""

import re

from pierhead.errors import HeaderInvalid, RangeNotSatisfiable
from pierhead.registry.preconditions import ANY, NONE, Precondition

_RANGE = re.compile(rb"bytes[ \t]*=[ \t]*(\d*)-(\d*)[ \t]*", re.ASCII | re.IGNORECASE)
# One element of a list (RFC 9110 §5.6.1, where it may be empty) of entity-tags (§8.8.3), which may hold commas.
_ELEMENT = re.compile(rb'[ \t]*(?:(W/)?"([!#-~\x80-\xff]*)"[ \t]*)?(?:,|\Z)')
_DIGITS_MAX = 18


def etag(digest: bytes) -> bytes:
    return b'"' + digest + b'"'


def matches(if_none_match: bytes | None, digest: str) -> bool:
    """RFC 9110 §13.1.2: weak comparison, `*` matches whatever is there."""
    if if_none_match is None:
        return False
    wanted = etag(digest.encode())
    candidates = (candidate.strip().removeprefix(b"W/") for candidate in if_none_match.split(b","))
    return any(candidate in {wanted, b"*"} for candidate in candidates)


def precondition(if_match: bytes | None, if_none_match: bytes | None) -> Precondition:
    """RFC 9110 §13.1.1 and §13.1.2 for what changes a tag. A weak validator never matches for If-Match."""
    if if_match is None and if_none_match is None:
        return NONE
    return Precondition(_digests(if_match, weak=False), _digests(if_none_match, weak=True))


def _digests(header: bytes | None, *, weak: bool) -> frozenset[str] | None:
    """Those that the header lists. Raises HeaderInvalid, since what is not understood would protect nothing."""
    if header is None:
        return None
    if header.strip() == b"*":
        return frozenset({ANY})
    found, listed, place = set(), 0, 0
    while place < len(header):
        matched = _ELEMENT.match(header, place)
        if matched is None:
            break
        place = matched.end()
        if matched[2] is not None:
            listed += 1
            if weak or not matched[1]:
                found.add(matched[2].decode("latin-1"))
    if place < len(header) or not listed:
        raise HeaderInvalid('If-Match, If-None-Match: "<digest>" in quotes, a list of these, or * is expected')
    # An asterisk in quotes is an entity-tag, and none that a manifest has.
    return frozenset(found - {ANY})


def selected(header: bytes | None, if_range: bytes | None, digest: str, size: int) -> tuple[int, int] | None:
    """(start, length) of the single range to serve, None for the whole.

    Another unit and several ranges are ignored, as §14.2 allows. Raises RangeNotSatisfiable.
    """
    if header is None or not header.strip().lower().startswith(b"bytes") or b"," in header:
        return None
    if if_range is not None and if_range.strip() != etag(digest.encode()):  # §13.1.5: strong comparison
        return None
    matched = _RANGE.fullmatch(header.strip())
    if matched is None:
        raise RangeNotSatisfiable(size)
    return _resolve(matched[1], matched[2], size)


def _resolve(first: bytes, last: bytes, size: int) -> tuple[int, int]:
    """§14.1.2: `first-last`, `first-` and `-suffix`, cut to what is there."""
    if not first:
        length = min(_number(last), size) if last else 0
        start, end = size - length, size - 1
    else:
        start = _number(first)
        end = min(_number(last), size - 1) if last else size - 1
    if not 0 <= start <= end:
        raise RangeNotSatisfiable(size)
    return start, end - start + 1


def _number(digits: bytes) -> int:
    return int(digits) if len(digits) <= _DIGITS_MAX else 10**_DIGITS_MAX
