"""`pierhead pin`: what nobody may move or remove."""

import time
from typing import TYPE_CHECKING, Any

import click

from pierhead.cli.flags import place_flags, refuse
from pierhead.cli.local import act, as_json, echo_json, moment, printable, table
from pierhead.cli.moments import FUTURE
from pierhead.cli.references import NAMED, Named

if TYPE_CHECKING:
    from pierhead.metadata.pins import Pin
    from pierhead.models import Actor, Digest, RepositoryName, TagName
    from pierhead.registry.pins import PinPage
    from pierhead.registry.registry import Registry


@click.group("pin")
def pin() -> None:
    """Keep a tag or a manifest where it is."""


@pin.command()
@place_flags
@click.argument("reference", type=NAMED, metavar="REFERENCE")
@click.option("--reason", required=True, metavar="TEXT", help="Why; whoever is refused reads it.")
@click.option("--until", type=FUTURE, metavar="MOMENT", help="2026-01-31, or 30d from now [for ever].")
@as_json
def add(reference: Named, reason: str, until: int | None, as_json: bool, **place: Any) -> None:  # noqa: FBT001  click's
    """Pin a tag or a manifest: nobody moves or removes it.

    REFERENCE is team/app:v1 or team/app@sha256:…. A second pin on it takes the place of the first.
    """
    target = _target(reference)

    async def work(registry: "Registry", actor: "Actor") -> "Pin":
        return await registry.pins.add(reference.repository, target, reason=reason, until=until, actor=actor)

    made = act(place, work)
    if as_json:
        echo_json(_told(reference.repository, made))
    else:
        click.echo(f"{reference} is pinned {_until(made)}")


@pin.command()
@place_flags
@click.argument("reference", type=NAMED, metavar="REFERENCE")
@as_json
def remove(reference: Named, as_json: bool, **place: Any) -> None:  # noqa: FBT001  click's
    """Take a pin off."""
    target = _target(reference)

    async def work(registry: "Registry", actor: "Actor") -> bool:
        return await registry.pins.remove(reference.repository, target, actor=actor)

    removed = act(place, work)
    if as_json:
        echo_json({"removed": removed})
    if not removed:
        refuse([f"{reference} is not pinned"], 1)
    if not as_json:
        click.echo(f"{reference} is pinned no more")


@pin.command("list")
@place_flags
@click.argument("repository", type=NAMED, required=False)
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Most that are shown.")
@click.option("--after", type=int, default=0, metavar="ID", help="Pins past this one.")
@as_json
def list_(repository: Named | None, limit: int, after: int, as_json: bool, **place: Any) -> None:  # noqa: FBT001  click's
    """Show pins, of one repository or of all, those whose time is over too."""
    if repository is not None and (repository.tag or repository.digest):
        raise click.UsageError("give a repository")
    name = repository.repository if repository else None

    async def work(registry: "Registry", _: "Actor") -> "PinPage":
        return await registry.pins.page(name, after=after, size=limit)

    page = act(place, work)
    following = page.pins[-1][1].id if page.more else None
    if as_json:
        echo_json({"pins": [_told(name, pin) for name, pin in page.pins], "next_after": following})
        return
    click.echo(table(_COLUMNS, [_line(name, pin) for name, pin in page.pins]), nl=False)
    if following is not None:
        click.echo(f"more of them: --after {following}", err=True)


def _target(reference: Named) -> "TagName | Digest":
    target = reference.tag or reference.digest
    if target is None:
        raise click.UsageError("give a tag (team/app:v1) or a digest (team/app@sha256:…)")
    return target


_COLUMNS = ("ID", "WHAT", "UNTIL", "BY", "SINCE", "REASON")


def _line(name: "RepositoryName", pin: "Pin") -> tuple[str, ...]:
    what = Named(name, pin.tag, pin.digest)
    until = "for ever" if pin.until is None else moment(pin.until) + " (over)" * _over(pin)
    return (str(pin.id), str(what), until, printable(pin.actor), moment(pin.made_at), printable(pin.reason))


def _until(pin: "Pin") -> str:
    return "for ever" if pin.until is None else f"until {moment(pin.until)}"


def _over(pin: "Pin") -> bool:
    return pin.until is not None and pin.until <= time.time_ns() // 1000


def _told(name: "RepositoryName", pin: "Pin") -> dict[str, Any]:
    return {
        "id": pin.id,
        "repository": name,
        "tag": pin.tag,
        "digest": pin.digest,
        "reason": pin.reason,
        "actor": pin.actor,
        "made_at": moment(pin.made_at),
        "until": None if pin.until is None else moment(pin.until),
        "over": _over(pin),
    }
