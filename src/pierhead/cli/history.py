"""`pierhead history`: what happened to tags, and what was where at a moment."""

# ruff: noqa: PLC0415

from typing import TYPE_CHECKING, Any

import click

from pierhead.cli.flags import place_flags
from pierhead.cli.local import act, as_json, echo_json, moment, printable, table
from pierhead.cli.moments import PAST
from pierhead.cli.references import NAMED, Named

if TYPE_CHECKING:
    from pierhead.metadata.history import Entry, Incarnation, Pointing, Target
    from pierhead.models import Actor
    from pierhead.registry.history import HistoryPage, Snapshot
    from pierhead.registry.registry import Registry

_DIGEST_WIDTH = len("sha256:") + 12


@click.command()
@place_flags
@click.argument("reference", type=NAMED, metavar="REPOSITORY[:TAG]")
@click.option("--at", type=PAST, metavar="MOMENT", help="What was there then: 2026-01-31T18:00Z, or 12h ago.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="Most that are shown.")
@click.option("--before", type=int, metavar="ID", help="Entries older than this one.")
@click.option("--after", default="", metavar="TAG", help="With --at: tags past this one.")
@click.option("--incarnation", type=int, metavar="ID", help="Of a deleted repository that had the name.")
@as_json
def history(reference: Named, at: int | None, as_json: bool, **options: Any) -> None:  # noqa: FBT001  click's
    """Show what happened to tags.

    The moves of a repository's tags or of one tag, the latest first; or with --at what was where at a moment.
    """
    if reference.digest:
        raise click.UsageError("give a repository or a tag: what happens to tags is what is kept")
    if at is None:
        if options["after"]:
            raise click.UsageError("--after goes with --at")
        _show_moves(reference, options, told_as_json=as_json)
    else:
        if options["before"] is not None:
            raise click.UsageError("--before does not go with --at")
        _show_moment(reference, at, options, told_as_json=as_json)


def _show_moves(reference: Named, options: dict[str, Any], *, told_as_json: bool) -> None:
    async def work(registry: "Registry", _: "Actor") -> "HistoryPage":
        return await registry.history.page(
            reference.repository,
            reference.tag,
            before=options["before"],
            size=options["limit"],
            incarnation=options["incarnation"],
        )

    page = act(options, work)
    following = page.entries[-1].id if page.more else None
    if told_as_json:
        told = {"incarnation": _incarnation(page.incarnation), "others": [_incarnation(one) for one in page.others]}
        echo_json({**told, "entries": [_entry(entry) for entry in page.entries], "next_before": following})
        return
    click.echo(table(_COLUMNS, [_line(entry) for entry in page.entries]), nl=False)
    if following is not None:
        click.echo(f"older ones: --before {following}", err=True)
    for other in page.others:
        click.echo(f"{_named(reference, other)}: --incarnation {other.id}", err=True)


def _named(reference: Named, other: "Incarnation") -> str:
    word = "deleted" if other.deleted else "there now"
    return f"another {reference.repository}, of {moment(other.created_at)}, {word}"


def _show_moment(reference: Named, at: int, options: dict[str, Any], *, told_as_json: bool) -> None:
    async def work(registry: "Registry", _: "Actor") -> "Snapshot":
        from pierhead.registry.history import Snapshot

        name, incarnation = reference.repository, options["incarnation"]
        if reference.tag is None:
            limit = options["limit"]
            return await registry.history.at(name, at, after=options["after"], size=limit, incarnation=incarnation)
        pointing = await registry.history.tag_at(name, reference.tag, at, incarnation=incarnation)
        return Snapshot([pointing], None)

    found = act(options, work)
    if told_as_json:
        tags = [{"tag": one.tag, "target": _target(one.target)} for one in found.tags]
        echo_json({"at": moment(at), "tags": tags, "next_after": found.next})
        return
    click.echo(table(("TAG", "DIGEST", "BYTES"), [_pointing(one) for one in found.tags]), nl=False)
    if found.next is not None:
        click.echo(f"more of them: --after {found.next}", err=True)


_COLUMNS = ("ID", "TIME", "TAG", "WHAT", "FROM", "TO", "BY", "CLIENT", "REASON")


def _line(entry: "Entry") -> tuple[str, ...]:
    client = entry.actor.agent.split(" ")[0]
    before, after = _short(entry.before), _short(entry.after)
    what = (str(entry.id), moment(entry.at), entry.tag, entry.action, before, after)
    return (*what, *map(printable, (entry.actor.name, client or "-", entry.reason or "-")))


def _short(target: "Target | None") -> str:
    """The digest's beginning, and whether its bytes are still there."""
    if target is None:
        return "-"
    state = "" if target.bytes.state == "kept" else f" ({target.bytes.state})"
    return target.digest[:_DIGEST_WIDTH] + state


def _pointing(one: "Pointing") -> tuple[str, ...]:
    if one.target is None:
        return (one.tag, "-", "-")
    until = one.target.bytes.until
    return (one.tag, one.target.digest, one.target.bytes.state + (f" until {moment(until)}" if until else ""))


def _entry(entry: "Entry") -> dict[str, Any]:
    return {
        "id": entry.id,
        "at": moment(entry.at),
        "tag": entry.tag,
        "action": entry.action,
        "before": _target(entry.before),
        "after": _target(entry.after),
        "actor": entry.actor.name,
        "credential": entry.actor.credential,
        "address": entry.actor.address,
        "agent": entry.actor.agent,
        "request_id": entry.actor.request_id,
        "reason": entry.reason,
    }


def _target(target: "Target | None") -> dict[str, Any] | None:
    if target is None:
        return None
    until = target.bytes.until
    return {"digest": target.digest, "bytes": target.bytes.state, "until": moment(until) if until else None}


def _incarnation(one: "Incarnation") -> dict[str, Any]:
    return {"id": one.id, "created_at": moment(one.created_at), "deleted": one.deleted}
