"""What a token says, how to find a part of it, and patterns that its values may fit."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

Claims = Mapping[str, Any]


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
    """`*` stands for anything but / and :, `**` for anything; all else for itself."""
    return _expression(pattern).fullmatch(text) is not None


@lru_cache(maxsize=4096)
def _expression(pattern: str) -> re.Pattern[str]:
    wild = {"**": ".*", "*": "[^/:]*"}
    parts = re.split(r"(\*\*|\*)", pattern)
    return re.compile("".join(wild.get(part, re.escape(part)) for part in parts), re.DOTALL)
