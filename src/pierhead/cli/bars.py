"""How far a long command is, on standard error: bars on a terminal, lines elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pierhead.moving.progress import Advance


class Bars:
    """Implements `Progress`."""

    @contextmanager
    def bar(self, label: str, length: int) -> Iterator["Advance"]:
        with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
            yield bar.update

    def say(self, line: str) -> None:
        click.echo(line, err=True)


def amount(size: int) -> str:
    """Bytes for people."""
    scaled, units = float(size), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while scaled >= 1024 and len(units) > 1:  # noqa: PLR2004  as the units are
        scaled, units = scaled / 1024, units[1:]
    return f"{scaled:.1f} {units[0]}" if units[0] != "bytes" else f"{size} bytes"
