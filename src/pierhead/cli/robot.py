"""`pierhead robot`: accounts of machines."""

# ruff: noqa: PLC0415

from typing import TYPE_CHECKING, Any

import click

from pierhead.cli import telling
from pierhead.cli.flags import place_flags, refuse
from pierhead.cli.local import as_json, change, echo_json, printable
from pierhead.cli.telling import done, limit, seconds_until, when
from pierhead.cli.token import expires, overlap

if TYPE_CHECKING:
    from pierhead.accounts.accounts import Accounts
    from pierhead.accounts.by import By
    from pierhead.accounts.robots import Shown
    from pierhead.accounts.tokens import Made
    from pierhead.metadata.principals import Principal

_COLUMNS = ("NAME", "STATE", "CALLED")


@click.group()
def robot() -> None:
    """Make and change robots: PROJECT+NAME, or +NAME where one belongs to the system."""


@robot.command()
@place_flags
@click.argument("name")
@click.option("--role", metavar="ROLE", help="What it may do, on its project or on the system.")
@click.option("--pattern", metavar="PATTERN", help="On these repositories of the project alone: 'web/**'.")
@expires
@click.option("--display", default="", metavar="TEXT", help="What it is for.")
@as_json
def create(name: str, *, as_json: bool, **options: Any) -> None:
    """Make a robot, and show its first secret this once.

    It signs in with its name and that secret, as if that were a password. `pierhead token create NAME` makes more.
    """

    async def work(accounts: "Accounts", by: "By") -> "tuple[Principal, Made]":
        from pierhead.accounts.robots import FIRST
        from pierhead.accounts.tokens import Asked

        asked = Asked(FIRST, seconds=seconds_until(options["expires"]))
        told = {word: options[word] for word in ("pattern", "display")}
        return await accounts.robots.create(name, options["role"], asked=asked, **told, by=by)

    _, made = change(options, work)
    telling.made(made, as_json=as_json)


@robot.command()
@place_flags
@click.argument("name")
@click.option("--secret", "number", type=int, metavar="ID", help="Which, where it has several.")
@overlap
@as_json
def rotate(name: str, *, number: int | None, overlap: int | None, as_json: bool, **place: Any) -> None:
    """Give a robot a new secret in place of one, and show it this once.

    The old one ends at once, or after the overlap, so that what uses it can be changed meanwhile.
    """

    async def work(accounts: "Accounts", by: "By") -> "Made":
        ids = [one.id for one in (await accounts.robots.show(name)).tokens]
        chosen = [one for one in ids if number in (None, one)]
        if len(chosen) != 1:
            mistake = f"{name} has the secrets {', '.join(map(str, ids)) or 'none'}"
            hint = f"pierhead token create {name} --name TEXT makes one" if not ids else "choose with --secret ID"
            refuse([f"{mistake}; {hint}"], 1)
        return await accounts.tokens.rotate(chosen[0], overlap_seconds=seconds_until(overlap) or 0, by=by)

    telling.made(change(place, work), as_json=as_json)


@robot.command()
@place_flags
@click.argument("name")
@as_json
def disable(name: str, *, as_json: bool, **place: Any) -> None:
    """Let a robot in no more, from the next request on."""
    _set_disabled(place, name, disabled=True, as_json=as_json)


@robot.command()
@place_flags
@click.argument("name")
@as_json
def enable(name: str, *, as_json: bool, **place: Any) -> None:
    """Let a robot in again, with the secrets that it has."""
    _set_disabled(place, name, disabled=False, as_json=as_json)


def _set_disabled(place: dict[str, Any], name: str, *, disabled: bool, as_json: bool) -> None:
    async def work(accounts: "Accounts", by: "By") -> None:
        await accounts.robots.set_disabled(name, disabled=disabled, by=by)

    change(place, work)
    done({"name": name, "disabled": disabled}, f"{name} is {'disabled' if disabled else 'enabled'}", as_json=as_json)


@robot.command()
@place_flags
@click.argument("name")
@as_json
def delete(name: str, *, as_json: bool, **place: Any) -> None:
    """Remove a robot with its secrets and grants."""

    async def work(accounts: "Accounts", by: "By") -> None:
        await accounts.robots.delete(name, by=by)

    change(place, work)
    done({"name": name, "deleted": True}, f"{name} is deleted", as_json=as_json)


@robot.command("list")
@place_flags
@click.argument("project", required=False)
@limit
@click.option("--after", default="", metavar="NAME", help="Those past this one.")
@as_json
def list_(project: str | None, *, limit: int, after: str, as_json: bool, **place: Any) -> None:
    """Show the robots of a project, or all."""

    async def work(accounts: "Accounts", _: "By") -> "list[Principal]":
        return await accounts.robots.page(project, after=after, size=limit + 1)

    telling.page("robots", change(place, work), limit, (_COLUMNS, _line), as_json=as_json)


def _line(one: "Principal") -> tuple[str, ...]:
    return one.name, telling.state(one), printable(one.display) or "-"


@robot.command()
@place_flags
@click.argument("name")
@as_json
def show(name: str, *, as_json: bool, **place: Any) -> None:
    """Show a robot, with its grants and secrets."""

    async def work(accounts: "Accounts", _: "By") -> "Shown":
        return await accounts.robots.show(name)

    found = change(place, work)
    if as_json:
        told = telling.principal(found.robot) | {"grants": [telling.grant(one) for one in found.grants]}
        echo_json(told | {"tokens": [telling.token(one) for one in found.tokens]})
        return
    click.echo(f"{found.robot.name}, {telling.state(found.robot)}")
    for grant in found.grants:
        click.echo(f"  {grant.role} on {telling.scope(grant)}")
    for one in found.tokens:
        used = f"used {when(one.used_at)} from {one.used_from}" if one.used_at else "never used"
        click.echo(f"  secret {one.id} ({printable(one.name)}), expires {when(one.expires_at, 'never')}, {used}")
