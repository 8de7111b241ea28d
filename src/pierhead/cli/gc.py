"""The command `gc`: removing now what nobody needs, or telling what would go."""

import json
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pierhead import priority
from pierhead.cli.bars import amount
from pierhead.cli.flags import place_flags
from pierhead.cli.local import act, as_json, moment

if TYPE_CHECKING:
    from pierhead.models import Actor
    from pierhead.registry.collector import Collector, Freed
    from pierhead.registry.registry import Registry


_OPENING = '{"freed": ['


@click.command()
@place_flags
@click.option("--dry-run", is_flag=True, help="Only tell what would go.")
@click.option("--grace-hours", type=click.FloatRange(min=0), metavar="N", help="Instead of collection.grace_hours.")
@click.option("--no-rest", is_flag=True, help="Take no rests between steps: faster, and felt by others.")
@click.option("-v", "--verbose", is_flag=True, help="Name each blob, and who needed it last.")
@as_json
def gc(
    config: Path | None,
    *,
    dry_run: bool,
    grace_hours: float | None,
    no_rest: bool,
    verbose: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Remove the blobs that nobody needs, while the registry serves.

    First what is in the trash and whose time is over. The server does all of this by itself.
    A blob that somebody was told of stays until his time to use it is over, whatever the options say.
    """

    if not no_rest:
        priority.give_way()

    async def work(registry: "Registry", _: "Actor") -> _Told:
        told = _Told(dry_run=dry_run, verbose=verbose, as_json=as_json)
        if dry_run:
            told.purged = await registry.trash.due()
            async with aclosing(registry.collector.preview(grace_hours=grace_hours)) as previewed:
                async for freed in previewed:
                    told.take(freed)
        else:
            while purged := await registry.trash.purge_due():
                told.purged += purged
            await _collect(registry.collector, told, grace_hours=grace_hours, rests=not no_rest)
        return told

    act({"config": config, **flags}, work).end()


async def _collect(collector: "Collector", told: "_Told", *, grace_hours: float | None, rests: bool) -> None:
    async with aclosing(collector.run(grace_hours=grace_hours, rests=rests)) as steps:
        async for step in steps:
            told.examined += step.examined
            told.removed += step.removed
            told.paused |= step.paused
            for freed in step.freed:
                told.take(freed)


class _Told:
    """What is told of a run: each blob as it goes, or all at the end."""

    def __init__(self, *, dry_run: bool, verbose: bool, as_json: bool) -> None:
        self._dry_run = dry_run
        self._verbose = verbose
        self._as_json = as_json
        self.blobs = 0
        self.bytes = 0
        self.examined = 0
        self.removed = 0
        self.purged = 0  # entries of the trash
        self.paused = False

    def take(self, freed: "Freed") -> None:
        self.blobs += 1
        self.bytes += freed.size
        if self._as_json:
            # One after another: a list of all would have to be held meanwhile.
            click.echo((_OPENING if self.blobs == 1 else ",") + "\n  " + json.dumps(_described(freed)), nl=False)
        elif self._verbose:
            why = ", ".join(f"{one.repository} since {moment(one.since)}" for one in freed.unneeded)
            click.echo(f"{freed.digest}  {amount(freed.size)}  no manifest needs it: {why}")

    def end(self) -> None:
        if self._as_json:
            summary = {
                "blobs": self.blobs,
                "bytes": self.bytes,
                "dry_run": self._dry_run,
                "examined": self.examined,
                "removed_keys": self.removed,
                "purged_entries": self.purged,
                "paused": self.paused,
            }
            click.echo(("\n" if self.blobs else _OPENING) + "], " + json.dumps(summary).removeprefix("{"))
        elif self.paused:
            click.echo("the registry is being copied: nothing is removed meanwhile")
        else:
            verb = "would be freed" if self._dry_run else "freed"
            click.echo(f"{self.blobs} blobs, {amount(self.bytes)} {verb}")
        if self.purged and not self._as_json:
            verb = "would be purged" if self._dry_run else "purged"
            click.echo(f"{self.purged} entries of the trash {verb}; their blobs go once the grace is over")


def _described(freed: "Freed") -> dict[str, Any]:
    return {
        "digest": freed.digest,
        "size": freed.size,
        "reason": "no manifest needs it",
        "repositories": [{"repository": one.repository, "unneeded_since": moment(one.since)} for one in freed.unneeded],
    }
