"""Where the objects are: `scheme://BUCKET/PREFIX?OPTION=VALUE`, as the setting `storage.url` has it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from pierhead.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Place:
    bucket: str
    prefix: str  # of every key; empty, or ends with a slash
    options: Mapping[str, str]

    @classmethod
    def parse(cls, url: str, known: frozenset[str]) -> Self:
        """Raises ConfigurationError, which names all that is wrong."""
        split = urlsplit(url)
        pairs = parse_qsl(split.query, keep_blank_values=True)
        mistakes = [f"storage.url: unknown option {name}" for name, _ in pairs if name not in known]
        mistakes += [f"storage.url: option {name} is empty" for name, value in pairs if not value]
        if not split.netloc:
            mistakes.append("storage.url: names no bucket")
        if "@" in split.netloc:  # it would be taken for the bucket's name, which errors and logs tell
            mistakes.append("storage.url: credentials come from the environment, never from here")
        if mistakes:
            raise ConfigurationError(mistakes)
        prefix = split.path.strip("/")
        return cls(split.netloc, f"{prefix}/" if prefix else "", dict(pairs))
