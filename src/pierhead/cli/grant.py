"""`pierhead grant`: who has which role, and where."""

# ruff: noqa: PLC0415

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pierhead.cli import telling
from pierhead.cli.flags import place_flags
from pierhead.cli.local import as_json, change, echo_json, moment, printable, table
from pierhead.cli.telling import done, limit

if TYPE_CHECKING:
    from pierhead.accounts.accounts import Accounts
    from pierhead.accounts.by import By
    from pierhead.accounts.scopes import Scope
    from pierhead.metadata.grants import Grant

_COLUMNS = ("ID", "ROLE", "TO", "ON", "SINCE", "BY")
F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def grant() -> None:
    """Give and take roles."""


def _whom_and_where(command: F) -> F:
    command = click.option("--system", is_flag=True, help="On the whole system.")(command)
    command = click.option("--on", "scope", metavar="PLACE", help="On a project, or a pattern in it: 'team/web/**'.")(
        command
    )
    command = click.option("--everyone", is_flag=True, help="To all who signed in.")(command)
    return click.option("--to", "name", metavar="NAME", help="A user, a team (@dev) or a robot (team+ci).")(command)


def _read(options: dict[str, Any]) -> tuple[str | None, str | None]:
    """Whom, None where that is everybody; and where, None where that is the system."""
    if (options["name"] is None) != options["everyone"]:
        raise click.UsageError("say to whom: --to NAME, or --everyone")
    if (options["scope"] is None) != options["system"]:
        raise click.UsageError("say where: --on PLACE, or --system")
    return options["name"], options["scope"]


def _scope(text: str | None) -> "Scope":
    from pierhead.accounts.scopes import SYSTEM, Scope

    return SYSTEM if text is None else Scope.parse(text)


@grant.command()
@place_flags
@click.argument("role")
@_whom_and_where
@as_json
def add(role: str, *, as_json: bool, **options: Any) -> None:
    """Give a role: pierhead grant add writer --to alice --on team.

    In a pattern * stands for anything in a segment of a name, and ** for any segments: 'team/web/**', 'team/*-test'.
    """
    name, where = _read(options)

    async def work(accounts: "Accounts", by: "By") -> "tuple[Grant, bool]":
        return await accounts.grants.add(name, role, _scope(where), by=by)

    found, is_new = change(options, work)
    already = "" if is_new else " already"
    done(telling.grant(found) | {"new": is_new}, f"{_whom(found)} is {_what(found)}{already}", as_json=as_json)


@grant.command()
@place_flags
@click.argument("role", required=False)
@_whom_and_where
@click.option("--id", "number", type=int, metavar="ID", help="That one, as `pierhead grant list` shows it.")
@as_json
def remove(role: str | None, *, number: int | None, as_json: bool, **options: Any) -> None:
    """Take a role away: as it was given, or by its id."""
    if (role is None) == (number is None):
        raise click.UsageError("give a role, or --id")
    name, where = _read(options) if role is not None else (None, None)

    async def work(accounts: "Accounts", by: "By") -> "Grant":
        if number is not None:
            return await accounts.grants.remove_by_id(number, by=by)
        return await accounts.grants.remove(name, role or "", _scope(where), by=by)

    found = change(options, work)
    done(telling.grant(found) | {"removed": True}, f"{_whom(found)} is no longer {_what(found)}", as_json=as_json)


@grant.command("list")
@place_flags
@click.option("--to", "name", metavar="NAME", help="To this user, team or robot.")
@click.option("--on", "project", metavar="PROJECT", help="On this project.")
@limit
@click.option("--after", type=int, default=0, metavar="ID", help="Grants past this one.")
@as_json
def list_(*, limit: int, as_json: bool, **options: Any) -> None:
    """Show who has which role, and where."""

    async def work(accounts: "Accounts", _: "By") -> "list[Grant]":
        name, project, after = options["name"], options["project"], options["after"]
        return await accounts.grants.page(name, project=project, after=after, size=limit + 1)

    found = change(options, work)
    shown, more = found[:limit], found[limit:]
    following = shown[-1].id if more else None
    if as_json:
        echo_json({"grants": [telling.grant(one) for one in shown], "next_after": following})
        return
    click.echo(table(_COLUMNS, [_line(one) for one in shown]), nl=False)
    if following is not None:
        click.echo(f"more of them: --after {following}", err=True)


def _line(one: "Grant") -> tuple[str, ...]:
    return (str(one.id), one.role, _whom(one), telling.scope(one), moment(one.made_at), printable(one.actor))


def _whom(one: "Grant") -> str:
    return one.principal or "everybody"


def _what(one: "Grant") -> str:
    return f"{one.role} on {telling.scope(one)}"
