"""`pierhead jobs`: what background work there is, and what is done about it."""

# ruff: noqa: PLC0415

import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pierhead.cli.flags import load, place_flags, refuse
from pierhead.cli.local import moment, operator, table

if TYPE_CHECKING:
    from pierhead.metadata.database import Operation, Transaction
    from pierhead.metadata.jobs import Job

STATES = ("waiting", "running", "done", "dead")
_ERROR_WIDTH = 60

T = TypeVar("T")


@click.group()
def jobs() -> None:
    """Look at background work, and have it tried again."""


@jobs.command("list")
@place_flags
@click.option("--state", type=click.Choice(STATES), help="Those of one state only.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Most that are shown.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, each with all that is known of it.")
def list_(state: Any, limit: int, as_json: bool, **place: Any) -> None:  # noqa: FBT001  click's
    """Show jobs, the latest first."""
    from pierhead.metadata import jobs as rows

    found = _asked(place, partial(rows.page, state=state, limit=limit))
    click.echo(json.dumps([_told(job) for job in found], indent=2) if as_json else _table(found), nl=as_json)


@jobs.command()
@place_flags
@click.argument("job", type=int, required=False)
@click.option("--all-dead", is_flag=True, help="Every job that is dead.")
def retry(job: int | None, all_dead: bool, **place: Any) -> None:  # noqa: FBT001  click's
    """Let a job that is dead, or waits, run now."""
    if (job is None) != all_dead:
        raise click.UsageError("give the id of a job, or --all-dead")
    from pierhead.metadata import jobs as rows

    if job is None:
        click.echo(f"{_changed(place, rows.retry_dead, 'retried', 'all dead')} will be tried again")
    elif _changed(place, partial(rows.retry, job_id=job), "retried", job):
        click.echo(f"{job} will be tried again")
    else:
        refuse([f"no job with the id {job} is dead or waits"], 1)


@jobs.command()
@place_flags
@click.argument("job", type=int)
def drop(job: int, **place: Any) -> None:
    """Forget a job that does not run."""
    from pierhead.metadata import jobs as rows

    if not _changed(place, partial(rows.drop, job_id=job), "dropped", job):
        refuse([f"there is no job with the id {job}, or it runs"], 1)
    click.echo(f"{job} dropped")


@jobs.command()
@place_flags
@click.argument("kind")
def run(kind: str, **place: Any) -> None:
    """Have what runs again and again run now."""
    from pierhead.metadata import jobs as rows

    known = _asked(place, rows.schedules)
    if kind not in known:
        refuse([f"{kind}: no such kind runs here; there are: {', '.join(known) or 'none yet'}"], 1)

    async def now(tx: "Transaction") -> int:
        job = await rows.enqueue(tx, kind=kind)
        await rows.retry(tx, job_id=job)
        return job

    job = _changed(place, now, "asked-for", kind)
    click.echo(f"{kind} runs as job {job}")


def _asked(place: dict[str, Any], operation: "Operation[T]") -> T:
    found: T = _with_database(place, lambda database: database.read(operation))
    return found


def _changed(place: dict[str, Any], operation: "Operation[T]", what: str, which: int | str) -> T:
    """What an operation returns; where that is anything, it is told to the audit trail."""
    from pierhead.metadata import events

    async def change(tx: "Transaction") -> T:
        found = await operation(tx)
        if found:
            await events.record_change(tx, f"job.{what}", f"job:{which}", operator())
        return found

    result: T = _with_database(place, lambda database: database.write(change))
    return result


def _with_database(place: dict[str, Any], ask: Callable[[Any], Any]) -> Any:
    import asyncio

    from pierhead import backends
    from pierhead.errors import PierheadError

    settings = load(place["config"], place).settings

    async def run() -> Any:
        async with backends.existing_database(settings) as database:
            return await ask(database)

    try:
        return asyncio.run(run())
    except PierheadError as error:
        refuse([str(error)], 1)


_COLUMNS = ("ID", "KIND", "KEY", "STATE", "DUE", "ATTEMPTS", "WORKER", "ERROR")


def _table(found: "list[Job]") -> str:
    return table(_COLUMNS, [_line(job) for job in found])


def _line(job: "Job") -> tuple[str, ...]:
    error = (job.error or "").replace("\n", " ")
    shown = error if len(error) <= _ERROR_WIDTH else error[: _ERROR_WIDTH - 1] + "…"
    shown_at = job.finished_at if job.state in ("done", "dead") else job.due_at
    return (
        str(job.id),
        job.kind,
        job.key or "-",
        job.state,
        moment(shown_at or job.due_at),
        str(job.attempts),
        job.worker or "-",
        shown,
    )


def _told(job: "Job") -> dict[str, Any]:
    return {
        "id": job.id,
        "kind": job.kind,
        "key": job.key,
        "arguments": job.arguments,
        "state": job.state,
        "due_at": moment(job.due_at),
        "attempts": job.attempts,
        "worker": job.worker,
        "error": job.error,
        "created_at": moment(job.created_at),
        "finished_at": moment(job.finished_at) if job.finished_at else None,
    }
