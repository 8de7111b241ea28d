"""What a command does with the registry on the spot, beside a server or without one, and in whose name."""

# ruff: noqa: PLC0415

import json
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pierhead.cli.flags import CONFIGURATION_MISTAKES, load, refuse

if TYPE_CHECKING:
    from pierhead.accounts.accounts import Accounts
    from pierhead.accounts.by import By
    from pierhead.models import Actor
    from pierhead.registry.registry import Registry

T = TypeVar("T")

as_json = click.option("--json", "as_json", is_flag=True, help="As JSON, with all that is known.")


def act(place: dict[str, Any], work: "Callable[[Registry, Actor], Coroutine[Any, Any, T]]") -> T:
    """What the work gives; ends the program with what it raises. `place` holds the values of `place_flags`."""
    from pierhead import places

    settings = load(place["config"], place).settings

    async def run() -> T:
        async with places.registry(settings) as registry:
            return await work(registry, operator())

    return _run(run())


def change(place: dict[str, Any], work: "Callable[[Accounts, By], Coroutine[Any, Any, T]]", *, make: bool = False) -> T:
    """The same with accounts. Whoever may read and write the registry's files holds everything in it.

    With `make` a registry that is not there yet is made.
    """
    from pierhead import places
    from pierhead.accounts.by import By
    from pierhead.verbs import ALL

    settings = load(place["config"], place).settings

    async def run() -> T:
        async with places.accounts(settings, make=make) as accounts:
            return await work(accounts, By(operator(), ALL))

    return _run(run())


def _run(work: "Coroutine[Any, Any, T]") -> T:
    import asyncio

    from pierhead.errors import ConfigurationError, PierheadError

    try:
        return asyncio.run(work)
    except ConfigurationError as error:
        refuse(error.mistakes, CONFIGURATION_MISTAKES)
    except PierheadError as error:
        refuse([f"{error.__class__.__doc__}: {error}" if str(error) else str(error.__class__.__doc__)], 1)


def operator() -> "Actor":
    """Whoever types the command, by the name that the system has for them."""
    import getpass

    from pierhead import __version__
    from pierhead.models import Actor

    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        name = "unknown"
    return Actor(name, credential="local", agent=f"pierhead/{__version__}")


def printable(text: str) -> str:
    """A text that others wrote, on one line and without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def table(columns: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> str:
    """Lines of text under their headings, each column as wide as it needs to be."""
    rows = [columns, *lines]
    widths = [max(len(row[place]) for row in rows) for place in range(len(columns))]
    return "".join("  ".join(map(str.ljust, row, widths)).rstrip() + "\n" for row in rows)


def moment(microseconds: int) -> str:
    """RFC 3339, UTC, whole seconds."""
    from pierhead import models

    return models.moment(microseconds)


def echo_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))
