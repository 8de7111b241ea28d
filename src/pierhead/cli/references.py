"""What a command is about: a repository, a tag or a manifest, as people write it."""

from dataclasses import dataclass
from typing import Any

import click

from pierhead.errors import PierheadError
from pierhead.models import Digest, RepositoryName, TagName


@dataclass(frozen=True, slots=True)
class Named:
    """`team/app`, `team/app:v1` or `team/app@sha256:…`."""

    repository: RepositoryName
    tag: TagName | None = None
    digest: Digest | None = None

    def __str__(self) -> str:
        if self.digest:
            return f"{self.repository}@{self.digest}"
        return f"{self.repository}:{self.tag}" if self.tag else self.repository


def parse(text: str) -> Named:
    """Raises RepositoryNameInvalid, TagInvalid, DigestInvalid."""
    name, at, digest = text.partition("@")
    if at:
        return Named(RepositoryName.parse(name), digest=Digest.parse(digest))
    name, colon, tag = text.partition(":")
    return Named(RepositoryName.parse(name), tag=TagName.parse(tag) if colon else None)


class _Reference(click.ParamType[Named]):
    name = "reference"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Named:
        if isinstance(value, Named):
            return value
        try:
            return parse(value)
        except PierheadError as error:
            self.fail(f"{value}: {error.__class__.__doc__}", param, ctx)


NAMED = _Reference()


class _Entry(click.ParamType["int | Named"]):
    """An entry of the trash: its id, or what was deleted."""

    name = "entry"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | Named:
        if isinstance(value, str) and value.isdecimal():
            return int(value)
        return NAMED.convert(value, param, ctx)


ENTRY = _Entry()
