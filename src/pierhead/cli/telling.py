"""How accounts, and what they hold, are told: by words for people, and as JSON."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from pierhead.cli.flags import refuse
from pierhead.cli.local import echo_json, moment, printable, table

if TYPE_CHECKING:
    from pierhead.accounts.tokens import Listed, Made
    from pierhead.metadata.grants import Grant
    from pierhead.metadata.principals import Principal
    from pierhead.metadata.tokens import Token

_PASSWORD_MOST = 4096  # characters
_SECOND = 1_000_000  # microseconds

limit = click.option(
    "--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Most that are shown."
)
password_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


def ask_password(*, stdin: bool) -> str:
    """Never an argument: others on the machine could read it."""
    if stdin:
        return sys.stdin.readline(_PASSWORD_MOST).rstrip("\r\n")
    if not sys.stdin.isatty():
        refuse(["there is no terminal to ask for the password: give --password-stdin"], 1)
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return password


def seconds_until(microseconds: int | None) -> int | None:
    """From now on."""
    return None if microseconds is None else microseconds // _SECOND - int(time.time())


def when(microseconds: int | None, otherwise: str = "-") -> str:
    return otherwise if microseconds is None else moment(microseconds)


def _json_when(microseconds: int | None) -> str | None:
    return None if microseconds is None else moment(microseconds)


Shape = tuple[tuple[str, ...], "Callable[[Principal], tuple[str, ...]]"]


def page(word: str, found: "list[Principal]", limit: int, shape: Shape, *, as_json: bool) -> None:
    """A page of principals, of which one more was asked for than is shown; `shape` is the headings and a line."""
    shown, more = found[:limit], found[limit:]
    if as_json:
        following = shown[-1].name if more else None
        echo_json({word: [principal(one) for one in shown], "next_after": following})
        return
    columns, line = shape
    click.echo(table(columns, [line(one) for one in shown]), nl=False)
    if more:
        click.echo(f"more of them: --after {shown[-1].name}", err=True)


def principal(one: "Principal") -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": one.name,
        "source": one.source,
        "display": one.display,
        "created_at": moment(one.made_at),
        "seen_at": _json_when(one.seen_at),
        "disabled_at": _json_when(one.disabled_at),
    }
    if one.kind == "user":
        told |= {
            "gone_at": _json_when(one.gone_at),
            "email": one.email,
            "password": one.has_password,
            "second_factor": one.has_second_factor,
        }
    if one.kind == "team":
        told |= {"group": None if one.source == "local" else one.subject}
    if one.kind == "robot":
        told |= {"project": one.project}
    return told


def state(one: "Principal") -> str:
    if one.disabled_at is not None:
        return "disabled"
    return "enabled" if one.gone_at is None else "suspended"


def scope(grant: "Grant") -> str:
    if grant.project is None:
        return "the system"
    return f"{grant.project}/{grant.pattern}" if grant.pattern else grant.project


def grant(one: "Grant") -> dict[str, Any]:
    return {
        "id": one.id,
        "to": one.principal,
        "everyone": one.principal_id is None,
        "role": one.role,
        "project": one.project,
        "pattern": one.pattern,
        "created_at": moment(one.made_at),
        "by": one.actor,
    }


def token(one: "Token") -> dict[str, Any]:
    return {
        "id": one.id,
        "kind": one.kind,
        "owner": one.owner,
        "name": one.name,
        "verbs": one.verbs,
        "created_at": moment(one.made_at),
        "expires_at": _json_when(one.expires_at),
        "revoked_at": _json_when(one.revoked_at),
        "used_at": _json_when(one.used_at),
        "used_from": one.used_from,
        "over": one.over,
    }


def listed(one: "Listed") -> dict[str, Any]:
    return token(one.token) | {"places": None if one.places is None else list(one.places)}


def made(new: "Made", *, as_json: bool, more: dict[str, Any] | None = None) -> None:
    """The secret alone goes to standard output, for scripts."""
    if as_json:
        echo_json((more or {}) | token(new.token) | {"token": new.text})
        return
    ends = when(new.token.expires_at, "never")
    name = printable(new.token.name)
    click.echo(f"token {new.token.id} ({name}) of {new.token.owner}; expires: {ends}; it is shown this once:", err=True)
    click.echo(new.text)


def done(told: dict[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        echo_json(told)
    else:
        click.echo(text)
