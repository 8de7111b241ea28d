"""`pierhead audit`: what happened, who did it, and whether what is told of it is what was written."""

# ruff: noqa: PLC0415

import re
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from pierhead.cli.flags import place_flags, refuse
from pierhead.cli.local import act, as_json, echo_json, moment, printable, table
from pierhead.cli.moments import PAST
from pierhead.cli.references import NAMED, Named

if TYPE_CHECKING:
    from pierhead.metadata.trail import Event, Filters, Place
    from pierhead.models import Actor, RepositoryName
    from pierhead.registry.audit import TrailPage
    from pierhead.registry.audit.chain import Statement
    from pierhead.registry.audit.verifying import Verified
    from pierhead.registry.registry import Registry

F = TypeVar("F", bound=Callable[..., Any])
_PLACE = re.compile(r"(\d{1,18})-(\d{1,18})")
_DIGEST_WIDTH = len("sha256:") + 12


@click.group("audit")
def audit() -> None:
    """Look at what happened, and prove that nobody changed it."""


def _filters(command: F) -> F:
    for option in (
        click.option("--until", type=PAST, metavar="MOMENT", help="Before then: 2026-01-31T18:00Z, or 12h ago."),
        click.option("--since", type=PAST, metavar="MOMENT", help="From then on."),
        click.option("--refused", is_flag=True, help="Only what was refused."),
        click.option("--request-id", metavar="ID", help="The id in the log and in X-Request-Id."),
        click.option("--credential", type=int, metavar="ID", help="Through this token."),
        click.option("--subject", metavar="WHAT", help="About this: user:alice, grant:12, project:team."),
        click.option("--address", metavar="ADDRESS", help="From this address."),
        click.option("--repository", type=NAMED, metavar="REPOSITORY", help="In all that had this name."),
        click.option("--action", metavar="ACTION", help="Such as tag.deleted."),
        click.option("--actor", metavar="NAME", help="By this one."),
    ):
        command = option(command)
    return command


@audit.command("list")
@place_flags
@_filters
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="Most that are shown.")
@click.option("--before", metavar="PLACE", help="Events older than this one.")
@as_json
def list_(limit: int, before: str | None, as_json: bool, **options: Any) -> None:  # noqa: FBT001  click's
    """Show events, the latest first."""
    start = _place(before)
    repository = _repository(options["repository"])

    async def work(registry: "Registry", _: "Actor") -> "TrailPage":
        from pierhead.registry.audit import TrailPage

        found: list[Event] = []
        place = start
        while True:
            page = await registry.audit.page(
                _asked(options), repository, before=place, size=min(1000, limit - len(found))
            )
            found += page.events
            place = page.next
            if place is None or len(found) == limit:
                return TrailPage(found, place, page.catching_up)

    page = act(options, work)
    following = f"{page.next[0]}-{page.next[1]}" if page.next else None
    if as_json:
        from pierhead.registry.audit import telling

        echo_json({"events": [telling.told(event) for event in page.events], "next_before": following})
        return
    click.echo(table(_COLUMNS, [_line(event) for event in page.events]), nl=False)
    if following is not None:
        click.echo(f"older ones: --before {following}", err=True)
    if page.catching_up:
        click.echo("many events are not sealed yet: some of those are not shown", err=True)


@audit.command()
@place_flags
@_filters
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
@click.option("--output", type=click.File("w", encoding="utf-8"), default="-", metavar="FILE", help="[standard output]")
def export(form: str, output: IO[str], **options: Any) -> None:
    """Write all events out, the latest first, as CSV or as lines of JSON."""
    repository = _repository(options["repository"])

    async def work(registry: "Registry", _: "Actor") -> None:
        from pierhead.registry.audit import telling

        if form == "csv":
            output.write(telling.csv_head())
        line = telling.csv_line if form == "csv" else lambda event: f"{telling.json_line(event)}\n"
        async with aclosing(registry.audit.export(_asked(options), repository)) as events:
            async for event in events:
                output.write(line(event))
        output.flush()
        if await registry.audit.sealing.behind():
            click.echo("many events were not sealed yet, and some of those are left out: export again", err=True)

    act(options, work)


@audit.command()
@place_flags
@click.option(
    "--heads",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    metavar="FILE",
    help="What audit.heads_file kept outside the database; more than once for more files.",
)
@as_json
def verify(heads: tuple[Path, ...], as_json: bool, **place: Any) -> None:  # noqa: FBT001  click's
    """Look whether the events are those that were sealed.

    Exit code 0: they are. 1: some were altered, removed or added, and which.
    """
    outside = [one for path in heads for one in _read(path)] if heads else None

    async def work(registry: "Registry", _: "Actor") -> "Verified":
        return await registry.audit.verify(outside)

    found = act(place, work)
    if as_json:
        echo_json(_told(found, compared=outside is not None))
    else:
        _tell(found, compared=outside is not None)
    raise SystemExit(1 if found.faulty else 0)


def _read(path: Path) -> "list[Statement]":
    from pierhead.registry.audit.chain import Statement

    found = []
    for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(Statement.read_line(line))
        except ValueError:
            # The last one may be half written; any other was changed, and what it said is then missing.
            click.echo(f"{path}, line {number}: this is no head", err=True)
    return found


def _tell(found: "Verified", *, compared: bool) -> None:
    for fault in found.faults:
        where = "" if fault.sequence is None else f"event {fault.sequence} "
        click.echo(f"{where}{fault.text}")
    if found.faulty > len(found.faults):
        click.echo(f"and {found.faulty - len(found.faults)} more")
    verdict = f"{found.faulty} faults" if found.faulty else "whole"
    looked = f"{found.events} events up to {found.last}, {found.heads} heads"
    rest = f"{found.unsealed} not sealed yet"
    click.echo(f"{verdict}: {looked}, {rest}" + (f", let go of up to {found.pruned}" if found.pruned else ""))
    for key in sorted(found.keys):
        click.echo(f"signed with {key}")
    if not compared:
        click.echo("compare them with heads kept elsewhere, too: --heads FILE", err=True)


def _told(found: "Verified", *, compared: bool) -> dict[str, Any]:
    return {
        "whole": not found.faulty,
        "events": found.events,
        "kept": found.kept,
        "last": found.last,
        "pruned": found.pruned,
        "unsealed": found.unsealed,
        "heads": found.heads,
        "compared_with_file": compared,
        "keys": sorted(found.keys),
        "faulty": found.faulty,
        "faults": [{"sequence": one.sequence, "text": one.text} for one in found.faults],
    }


def _asked(options: dict[str, Any]) -> "Filters":
    from pierhead.metadata.trail import Filters

    return Filters(
        actor=options["actor"],
        action=options["action"],
        address=options["address"],
        subject=options["subject"],
        credential_id=options["credential"],
        request_id=options["request_id"],
        outcome="refused" if options["refused"] else None,
        since=options["since"],
        until=options["until"],
    )


def _repository(named: Named | None) -> "RepositoryName | None":
    if named is None:
        return None
    if named.tag or named.digest:
        raise click.UsageError("give a repository")
    return named.repository


def _place(text: str | None) -> "Place | None":
    if text is None:
        return None
    matched = _PLACE.fullmatch(text)
    if matched is None:
        refuse([f"--before {text}: what the page before said is expected"], 2)
    return int(matched[1]), int(matched[2])


_COLUMNS = ("NUMBER", "TIME", "ACTION", "WHAT", "BY", "THROUGH", "FROM", "REASON")


def _line(event: "Event") -> tuple[str, ...]:
    number = "-" if event.sequence is None else str(event.sequence)
    actor = event.actor
    through = actor.credential if actor.credential_id is None else f"{actor.credential} {actor.credential_id}"
    action = event.action if event.outcome in {"done", event.action} else f"{event.action} refused"
    words = (_what(event), actor.name, through, actor.address or "-", event.reason or "-")
    return (number, moment(event.at), action, *map(printable, words))


def _what(event: "Event") -> str:
    if event.repository is None:
        return event.subject or "-"
    digest = (event.after or event.before or "")[:_DIGEST_WIDTH]
    return f"{event.repository}" + (f":{event.tag}" if event.tag else "") + (f"@{digest}" if digest else "")
