"""`pierhead promote`: tags of several repositories that move together."""

# ruff: noqa: PLC0415

import json
from typing import IO, TYPE_CHECKING, Any

import click

from pierhead.cli.flags import place_flags
from pierhead.cli.local import act, as_json, echo_json, table
from pierhead.cli.references import parse

if TYPE_CHECKING:
    from pierhead.models import Actor
    from pierhead.registry.promotions import Promoted, Step
    from pierhead.registry.registry import Registry


@click.command()
@place_flags
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--reason", metavar="TEXT", help="Why; it is kept in the history.")
@as_json
def promote(file: IO[str], reason: str | None, as_json: bool, **place: Any) -> None:  # noqa: FBT001  click's
    """Move tags together, or none of them.

    FILE is a list of them, in JSON; - is standard input.
    """
    steps = _steps(file)

    async def work(registry: "Registry", actor: "Actor") -> "list[Promoted]":
        return await registry.promotions.promote(steps, reason=reason, actor=actor)

    done = act(place, work)
    if as_json:
        echo_json([_told(one) for one in done])
    else:
        click.echo(table(("TAG", "FROM", "TO"), [_line(one) for one in done]), nl=False)


def _steps(file: IO[str]) -> "list[Step]":
    """Ends the program where the file is not a list of `{"tag": "team/app:v1", "digest": "sha256:…"}`."""
    from pierhead.errors import PierheadError

    try:
        return [_step(**listed) for listed in json.load(file)]
    except PierheadError as error:
        raise click.UsageError(f"{file.name}: {error}: {error.__class__.__doc__}") from error
    except (ValueError, TypeError) as error:
        expected = '[{"tag": "team/app:v1", "digest": "sha256:…", "expected": "sha256:…" or "absent"}, …]'
        raise click.UsageError(f"{file.name}: {expected} is expected") from error


def _step(tag: str, digest: str, expected: str | None = None) -> "Step":
    """Raises ValueError where no tag is named."""
    from pierhead.models import Digest
    from pierhead.registry.promotions import Expected, Step

    named = parse(tag)
    if named.tag is None:
        raise ValueError(tag)
    if expected is None:
        return Step(named.repository, named.tag, Digest.parse(digest))
    before = Expected.ABSENT if expected == "absent" else Digest.parse(expected)
    return Step(named.repository, named.tag, Digest.parse(digest), before)


def _line(one: "Promoted") -> tuple[str, ...]:
    return (str(one.step), (one.before or "-") if one.moved else "as it was", one.step.digest)


def _told(one: "Promoted") -> dict[str, Any]:
    return {"tag": str(one.step), "before": one.before, "after": one.step.digest, "moved": one.moved}
