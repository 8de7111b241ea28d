"""Globs of repository names below a project: `*` stands for anything in a segment, `**` for any segments, or none."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from typing import Self

from pierhead.models import NAME_MAX

_SEGMENT = re.compile(r"[a-z0-9._*-]+")
_WILD_MAX = 16


@dataclass(frozen=True, slots=True)
class Pattern:
    """A checked pattern; `web/**` fits `web` and all below it, `*` what lies directly in the project."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError with what is expected."""
        segments = text.split("/")
        if len(text) > NAME_MAX or text.count("*") > _WILD_MAX:
            raise ValueError(f"a pattern has at most {NAME_MAX} characters, and {_WILD_MAX} of them are stars")
        for segment in segments:
            if not _SEGMENT.fullmatch(segment):
                raise ValueError("a pattern is made of the segments of a name, where * and ** stand for anything")
            if "**" in segment and segment != "**":
                raise ValueError("** stands alone between slashes, such as web/**")
        return cls(text)

    def fits(self, rest: str) -> bool:
        """Whether a name fits, without its project: `web/front` of `team/web/front`, empty of `team`."""
        return _fits(tuple(self.text.split("/")), tuple(rest.split("/")) if rest else ())

    @property
    def start(self) -> str:
        """What every name that fits begins with, but for one that ends before its slash."""
        return self.text.partition("*")[0]


def _fits(pattern: tuple[str, ...], segments: tuple[str, ...]) -> bool:
    """Step by step: after each segment of the pattern, how many segments of the name may be behind it."""
    reached = {0}
    for part in pattern:
        if part == "**":
            reached = set(range(min(reached), len(segments) + 1))
        else:
            fits = _segment(part)
            reached = {place + 1 for place in reached if place < len(segments) and fits(segments[place])}
        if not reached:
            return False
    return len(segments) in reached


@lru_cache(maxsize=1024)
def _segment(part: str) -> Callable[[str], object]:
    return re.compile(translate(part)).match
