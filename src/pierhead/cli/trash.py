"""`pierhead trash`: what can be restored, and for how long."""

from typing import TYPE_CHECKING, Any

import click

from pierhead.cli.bars import amount
from pierhead.cli.deletion import counted
from pierhead.cli.flags import place_flags
from pierhead.cli.local import act, as_json, echo_json, moment, table

if TYPE_CHECKING:
    from pierhead.models import Actor
    from pierhead.registry.registry import Registry
    from pierhead.registry.trash import Listed, Window

_HOUR = 3600
_HOURS_MOST = 24 * 3660
_COLUMNS = ("ID", "WHAT", "DELETED", "BY", "GOES", "MANIFESTS", "TAGS", "BYTES")


@click.group()
def trash() -> None:
    """Look at what was deleted, and decide how long it is kept."""


@trash.command("list")
@place_flags
@click.argument("name", required=False)
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Most that are shown.")
@click.option("--before", type=int, metavar="ID", help="Only those with smaller ids: the next page.")
@as_json
def list_(name: str | None, *, limit: int, before: int | None, as_json: bool, **place: Any) -> None:
    """Show what can be restored, what was deleted last first.

    NAME is a repository or a project. BYTES is what nothing else needs; a + says that there is more than was counted.
    """

    async def work(registry: "Registry", _: "Actor") -> "list[Listed]":
        return await registry.trash.page(name, before=before, size=limit)

    found = act(place, work)
    if as_json:
        echo_json([told(one) for one in found])
    else:
        click.echo(table(_COLUMNS, [_line(one) for one in found]), nl=False)


@trash.command()
@place_flags
@click.argument("entry", type=int)
@click.option("--dry-run", is_flag=True, help="Only say what it would free.")
@as_json
def purge(entry: int, *, dry_run: bool, as_json: bool, **place: Any) -> None:
    """Let go of an entry now, for good.

    ENTRY is an id that `pierhead trash list` shows. It says how many bytes nothing else needs: the collector removes
    them after its own time of grace.
    """

    async def work(registry: "Registry", actor: "Actor") -> "Listed":
        return await (registry.trash.find(entry) if dry_run else registry.trash.purge(entry, actor=actor))

    purged = act(place, work)
    if as_json:
        echo_json(told(purged) | {"purged": not dry_run})
        return
    weight = purged.weight
    what = f"{counted(weight.manifests, 'manifest')} and {counted(weight.tags, 'tag')}"
    done, frees = ("would be purged", "would free") if dry_run else ("purged", "frees")
    click.echo(f"{purged.entry} {done}, with {what}: {frees} {amount(weight.bytes)}")


@trash.command()
@place_flags
@click.argument("project")
@click.argument("hours", required=False)
@as_json
def window(project: str, hours: str | None, *, as_json: bool, **place: Any) -> None:
    """Show or set how long what is deleted in a project can be restored.

    HOURS may be 0, so that nothing can be, or `default`: what the setting trash.keep_hours says. What is in the trash
    already keeps the time that it got.
    """
    seconds = _seconds(hours)

    async def work(registry: "Registry", _: "Actor") -> "Window":
        return await (registry.trash.window(project) if hours is None else registry.trash.set_window(project, seconds))

    found = act(place, work)
    if as_json:
        echo_json({"project": project, "hours": found.seconds / _HOUR, "own": found.own})
        return
    origin = "its own window" if found.own else "the setting trash.keep_hours"
    click.echo(f"{project}: {found.seconds / _HOUR:g} hours ({origin})")


def _seconds(hours: str | None) -> int | None:
    if hours in (None, "default"):
        return None
    try:
        number = float(hours or "")
    except ValueError:
        number = -1
    if not 0 <= number <= _HOURS_MOST:
        raise click.BadParameter(f"a number from 0 to {_HOURS_MOST}, or `default`", param_hint="HOURS")
    return int(number * _HOUR)


def told(listed: "Listed") -> dict[str, Any]:
    entry, weight = listed.entry, listed.weight
    return {
        "id": entry.id,
        "kind": entry.kind,
        "name": entry.name,
        "tag": entry.tag,
        "digest": entry.digest,
        "deleted_at": moment(entry.deleted_at),
        "deleted_by": entry.actor,
        "goes_at": moment(entry.goes_at),
        "manifests": weight.manifests,
        "tags": weight.tags,
        "bytes": weight.bytes,
        "all_counted": weight.whole,
        "restore": listed.way_back,
    }


def _line(listed: "Listed") -> tuple[str, ...]:
    entry, weight = listed.entry, listed.weight
    more = "" if weight.whole else "+"
    what = f"{entry} (project)" if entry.kind == "project" else str(entry)
    counts = (f"{weight.manifests}{more}", f"{weight.tags}{more}", f"{amount(weight.bytes)}{more}")
    return (str(entry.id), what, moment(entry.deleted_at), entry.actor, moment(entry.goes_at), *counts)
