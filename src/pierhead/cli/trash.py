"""`pierhead trash`: what can be restored, and for how long."""

# ruff: noqa: PLC0415

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from pierhead.cli.bars import amount
from pierhead.cli.deletion import counted
from pierhead.cli.flags import place_flags
from pierhead.cli.local import act, as_json, echo_json, moment, table
from pierhead.cli.references import ENTRY, Named

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
@click.argument("entry", type=ENTRY)
@click.option("--project", "as_project", is_flag=True, help="ENTRY is the name of a project.")
@click.option("--dry-run", is_flag=True, help="Only say what it would free.")
@as_json
def purge(entry: int | Named, *, as_project: bool, dry_run: bool, as_json: bool, **place: Any) -> None:
    """Let go of what is in the trash now, for good.

    ENTRY is an id that `pierhead trash list` shows, or what was deleted: team/app:v1. For team/app, all that was
    deleted in it goes. It says how many bytes nothing else needs: the collector removes them after its time of grace.
    """

    from pierhead.errors import NotInTrash

    async def work(registry: "Registry", actor: "Actor") -> "list[Listed]":
        ids = await _identify(registry, entry, as_project=as_project)
        found = []
        for one in ids:
            # Of several, some may have gone with others.
            with suppress(*([NotInTrash] if len(ids) > 1 else [])):
                found.append(await (registry.trash.find(one) if dry_run else registry.trash.purge(one, actor=actor)))
        return found

    purged = act(place, work)
    if as_json:
        echo_json([told(one) | {"purged": not dry_run} for one in purged])
        return
    done, frees = ("would be purged", "would free") if dry_run else ("purged", "frees")
    for one in purged:
        what = f"{counted(one.weight.manifests, 'manifest')} and {counted(one.weight.tags, 'tag')}"
        click.echo(f"{one.entry} {done}, with {what}: {frees} {amount(one.weight.bytes)}")


async def _identify(registry: "Registry", entry: int | Named, *, as_project: bool) -> list[int]:
    """The ids of the entries that are meant."""
    from pierhead.errors import NotInTrash

    if isinstance(entry, int):
        return [entry]
    if as_project:
        one = await registry.trash.found_project(entry.repository)
        found = [one] if one else []
    elif entry.tag or entry.digest:
        one = await registry.trash.found(entry.repository, entry.digest or entry.tag)
        found = [one] if one else []
    else:
        found = await registry.trash.of_repository(entry.repository)
    if not found:
        raise NotInTrash(str(entry))
    return [one.id for one in found]


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

    async def work(registry: "Registry", actor: "Actor") -> "Window":
        if hours is None:
            return await registry.trash.window(project)
        return await registry.trash.set_window(project, seconds, actor=actor)

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
