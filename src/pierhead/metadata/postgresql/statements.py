"""SQL with names (`:name`) as PostgreSQL takes it, with numbers (`$1`)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from pierhead.metadata.database import Value

# Text, quoted names, comments and casts are passed over; what is left of colons begins a name.
_PARTS = re.compile(
    r"""'(?:[^']|'')*' | "[^"]*" | --[^\n]* | /\*.*?\*/ | :: | :(?P<name>[a-z_]\w*)""", re.VERBOSE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Statement:
    text: str
    names: tuple[str, ...]  # of $1, $2 …
    reads: bool

    def values(self, parameters: Mapping[str, Value]) -> list[Value]:
        return [parameters[name] for name in self.names]


@lru_cache(maxsize=1024)
def numbered(sql: str) -> Statement:
    numbers: dict[str, int] = {}

    def number(part: re.Match[str]) -> str:
        name = part["name"]
        return f"${numbers.setdefault(name, len(numbers) + 1)}" if name else part[0]

    text = _PARTS.sub(number, sql)
    return Statement(text, tuple(numbers), text.lstrip()[:6].upper() == "SELECT")
