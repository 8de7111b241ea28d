"""`pierhead check`: whether a registry is whole, and making it so."""

# ruff: noqa: PLC0415

from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from pierhead.cli.bars import Bars, amount
from pierhead.cli.flags import load, place_flags, refuse
from pierhead.cli.local import as_json, echo_json, moment
from pierhead.cli.upkeep import run

if TYPE_CHECKING:
    from pierhead.moving.findings import Finding, Report
    from pierhead.settings import Settings

_place = click.Path(path_type=Path, resolve_path=True, exists=True)
_HINT = "Push it again, or repair it from a backup: pierhead check --repair --from DIRECTORY"


@click.command()
@place_flags
@click.option("--deep", is_flag=True, help="Read and hash every blob, not only look at its size.")
@click.option("--repair", is_flag=True, help="Mend what can be mended, set the rest aside, remove orphans.")
@click.option("--from", "source", type=_place, metavar="PLACE", help="A backup, or another registry's TOML file.")
@click.option("--rate", metavar="SIZE", help="Read so much in a second, 0: no limit [scrub.rate_bytes].")
@click.option("--rebuild", is_flag=True, help="Fill an empty database with what the store tells.")
@click.option("--status", is_flag=True, help="Only tell what is known to be damaged, and how far the scrub is.")
@as_json
def check(
    config: Path | None,
    *,
    deep: bool,
    repair: bool,
    source: Path | None,
    rate: str | None,
    rebuild: bool,
    status: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Look whether a registry is whole, while it serves.

    Exit code 0: it is. 1: something is damaged. 3: something was, and all of it is mended.
    """
    if sum((deep or repair, status)) > 1 or (rebuild and (repair or status)):
        raise click.UsageError("--status, --rebuild and --repair go each alone")
    if source is not None and not repair:
        raise click.UsageError("--from needs --repair")
    settings = load(config, flags).settings
    if status:
        _status(settings, as_json=as_json)
    if rebuild:
        _rebuild(settings, deep=deep, as_json=as_json)
    from pierhead import places
    from pierhead.errors import ConfigurationError

    try:
        other = places.another(settings, source) if source else None
    except ConfigurationError as error:
        refuse(error.mistakes, 2)
    asked = places.Checking(deep=deep, repair=repair, rate=_rate(rate), source=other)
    report, seconds = run(lambda: places.check(settings, asked, Bars()))
    if as_json:
        echo_json(_told(report, seconds))
    else:
        _tell(report, seconds, repair=repair)
    raise SystemExit(report.code)


def _rate(text: str | None) -> int | None:
    if text is None:
        return None
    from pydantic import ValidationError

    from pierhead.settings import ScrubSettings

    try:
        return ScrubSettings.model_validate({"rate_bytes": text}).rate_bytes
    except ValidationError as error:
        raise click.BadParameter(f"{text}: a number of bytes, such as 50MiB", param_hint="--rate") from error


def _tell(report: "Report", seconds: float, *, repair: bool) -> None:
    for line in (*report.orphans, *report.findings):
        click.echo(str(line))
    looked = f"{report.manifests} manifests, {report.blobs} blobs with {amount(report.bytes)} in {seconds:.1f} s"
    damaged, orphans = len(report.findings), f"{len(report.orphans)} orphans"
    found = f"{damaged} damaged or missing"
    if repair:
        left = len(report.left)
        found = f"{found} ({damaged - left} mended, {left} left)"
        orphans = f"{orphans} ({sum(one.removed for one in report.orphans)} removed)"
    click.echo(f"{looked}: {found}, {orphans}")
    if report.left:
        click.echo(_HINT, err=True)


def _told(report: "Report", seconds: float) -> dict[str, Any]:
    return {
        "code": report.code,
        "manifests": report.manifests,
        "blobs": report.blobs,
        "bytes": report.bytes,
        "seconds": round(seconds, 3),
        "left": len(report.left),
        "findings": [_finding(one) for one in report.findings],
        "orphans": [{"key": one.key, "size": one.size, "removed": one.removed} for one in report.orphans],
    }


def _finding(one: "Finding") -> dict[str, Any]:
    return {
        "kind": one.kind,
        "what": one.what,
        "wrong": one.wrong,
        "outcome": one.outcome,
        "repositories": list(one.repositories),
    }


def _rebuild(settings: "Settings", *, deep: bool, as_json: bool) -> NoReturn:
    from pierhead import places

    rebuilt, seconds = run(lambda: places.rebuild(settings, Bars(), read=deep))
    if as_json:
        echo_json(
            {
                "blobs": rebuilt.blobs,
                "manifests": rebuilt.manifests,
                "tags": rebuilt.tags,
                "unmarked": rebuilt.unmarked,
                "failed": rebuilt.faults,
            }
        )
        raise SystemExit(1 if rebuilt.faults else 0)
    for fault in rebuilt.faults:
        click.echo(fault)
    found = f"{rebuilt.blobs} blobs, {rebuilt.manifests} manifests and {rebuilt.tags} tags found in {seconds:.1f} s"
    click.echo(f"{found}: {len(rebuilt.faults)} failed or incomplete, {rebuilt.unmarked} unmarked objects")
    raise SystemExit(1 if rebuilt.faults else 0)


def _status(settings: "Settings", *, as_json: bool) -> NoReturn:
    from pierhead import places

    known, _ = run(lambda: places.known_damage(settings))
    if as_json:
        echo_json(
            {
                "damaged": [
                    {
                        "digest": blob.digest,
                        "size": blob.size,
                        "key": blob.key,
                        "wrong": blob.damage,
                        "repositories": held,
                    }
                    for blob, held in known.damaged
                ],
                "scrub": {
                    "coverage": round(known.coverage, 4),
                    "blobs": known.scrub.blobs if known.scrub else 0,
                    "bytes": known.scrub.bytes if known.scrub else 0,
                    "damaged": known.scrub.damaged if known.scrub else 0,
                    "last_whole": _moment(known.scrub.whole_at) if known.scrub else None,
                    "last_whole_damaged": known.scrub.whole_damaged if known.scrub else None,
                },
            }
        )
        raise SystemExit(1 if known.damaged else 0)
    for blob, held in known.damaged:
        click.echo(f"blob {blob.digest}: {blob.damage}" + (f" [{', '.join(held)}]" if held else ""))
    click.echo(f"{len(known.damaged)} damaged blobs")
    if known.scrub is None:
        click.echo("scrub: nothing was read again yet")
    else:
        now = known.scrub
        click.echo(
            f"scrub: {now.blobs} blobs with {amount(now.bytes)} read again since {moment(now.began_at)}, "
            f"{known.coverage:.1%} of all; {now.damaged} damaged; "
            f"last whole cycle: {_moment(now.whole_at) or 'none yet'}"
        )
    raise SystemExit(1 if known.damaged else 0)


def _moment(microseconds: int | None) -> str | None:
    return None if microseconds is None else moment(microseconds)
