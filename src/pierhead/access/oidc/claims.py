"""What a token says, how to find a part of it, and patterns that its values may fit."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

Claims = Mapping[str, Any]

_LONGEST = 4096  # characters of a value that is compared
_STOPS = {"*": "/:", "**": ""}  # what a wildcard does not go beyond


def claim(claims: Claims, path: str) -> Any:
    """The value of a claim; a dot leads into a table, unless the name of the claim has it. None: there is none."""
    if path in claims:
        return claims[path]
    for place in (at for at, char in enumerate(path) if char == "."):
        inner = claims.get(path[:place])
        if isinstance(inner, dict) and (found := claim(inner, path[place + 1 :])) is not None:
            return found
    return None


def fits(pattern: str, text: str) -> bool:
    """`*` stands for anything but / and :, `**` for anything; all else for itself.

    Takes no longer for a pattern of many stars: it keeps the places of the text that a part of the pattern may end at.
    """
    if len(text) > _LONGEST:
        return False
    places = {0}
    for part in _parts(pattern):
        if part in _STOPS:
            places = _behind(text, places, _STOPS[part])
        else:
            places = {place + len(part) for place in places if text.startswith(part, place)}
    return len(text) in places


@lru_cache(maxsize=4096)
def _parts(pattern: str) -> tuple[str, ...]:
    return tuple(part for part in re.split(r"(\*\*|\*)", pattern) if part)


def _behind(text: str, places: set[int], stops: str) -> set[int]:
    """All places from these on, up to the next stop."""
    found: set[int] = set()
    for start in places:
        place = start
        while place not in found:
            found.add(place)
            if place < len(text) and text[place] not in stops:
                place += 1
    return found
