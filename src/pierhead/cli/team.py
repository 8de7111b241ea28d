"""`pierhead team`: users and robots that hold things together."""

from typing import TYPE_CHECKING, Any

import click

from pierhead.cli import telling
from pierhead.cli.flags import place_flags
from pierhead.cli.local import as_json, change, echo_json, printable
from pierhead.cli.telling import done, limit

if TYPE_CHECKING:
    from pierhead.accounts.accounts import Accounts
    from pierhead.accounts.by import By
    from pierhead.accounts.teams import Shown
    from pierhead.metadata.principals import Principal

_COLUMNS = ("NAME", "GROUP", "CALLED")


@click.group()
def team() -> None:
    """Make and fill teams. Their names begin with @, which may be left out here."""


@team.command()
@place_flags
@click.argument("name")
@click.option("--group", metavar="SOURCE=GROUP", help="All of a group elsewhere: ldap:corp=developers.")
@click.option("--display", default="", metavar="TEXT", help="What to call it.")
@as_json
def create(name: str, *, group: str | None, display: str, as_json: bool, **place: Any) -> None:
    """Make a team.

    With --group those are in it whom the source told to be in the group when they signed in last; others may be added.
    """

    async def work(accounts: "Accounts", by: "By") -> "Principal":
        from pierhead.accounts.teams import Group  # noqa: PLC0415

        linked = Group.parse(group) if group else None
        return await accounts.teams.create(name, group=linked, display=display, by=by)

    made = change(place, work)
    done(telling.principal(made), f"made {made.name}", as_json=as_json)


@team.command()
@place_flags
@click.argument("name")
@as_json
def delete(name: str, *, as_json: bool, **place: Any) -> None:
    """Remove a team with its grants; its members stay."""

    async def work(accounts: "Accounts", by: "By") -> None:
        await accounts.teams.delete(name, by=by)

    change(place, work)
    done({"name": name, "deleted": True}, f"{name} is deleted", as_json=as_json)


@team.command()
@place_flags
@click.argument("name")
@click.argument("member")
@as_json
def add(name: str, member: str, *, as_json: bool, **place: Any) -> None:
    """Put a user or a robot into a team."""

    async def work(accounts: "Accounts", by: "By") -> bool:
        return await accounts.teams.add_member(name, member, by=by)

    changed = change(place, work)
    told = {"team": name, "member": member, "changed": changed}
    done(told, f"{member} is in {name}" + " already" * (not changed), as_json=as_json)


@team.command()
@place_flags
@click.argument("name")
@click.argument("member")
@as_json
def remove(name: str, member: str, *, as_json: bool, **place: Any) -> None:
    """Take a user or a robot out of a team."""

    async def work(accounts: "Accounts", by: "By") -> bool:
        return await accounts.teams.remove_member(name, member, by=by)

    changed = change(place, work)
    told = {"team": name, "member": member, "changed": changed}
    text = f"{member} is in {name} no more" if changed else f"{member} was not put into {name}"
    done(told, text, as_json=as_json)


@team.command("list")
@place_flags
@limit
@click.option("--after", default="", metavar="NAME", help="Those past this one.")
@as_json
def list_(*, limit: int, after: str, as_json: bool, **place: Any) -> None:
    """Show teams."""

    async def work(accounts: "Accounts", _: "By") -> "list[Principal]":
        return await accounts.teams.page(after=after, size=limit + 1)

    telling.page("teams", change(place, work), limit, (_COLUMNS, _line), as_json=as_json)


def _line(one: "Principal") -> tuple[str, ...]:
    return one.name, _group(one), printable(one.display) or "-"


def _group(one: "Principal") -> str:
    return "-" if one.source == "local" else printable(f"{one.source}={one.subject}")


@team.command()
@place_flags
@click.argument("name")
@as_json
def show(name: str, *, as_json: bool, **place: Any) -> None:
    """Show a team, with members and grants."""

    async def work(accounts: "Accounts", _: "By") -> "Shown":
        return await accounts.teams.show(name)

    found = change(place, work)
    if as_json:
        told = telling.principal(found.team)
        echo_json(told | {"members": found.members, "grants": [telling.grant(one) for one in found.grants]})
        return
    click.echo(f"{found.team.name}, of the group {_group(found.team)}")
    click.echo(f"  members: {', '.join(found.members) or 'none was put into it'}")
    for grant in found.grants:
        click.echo(f"  {grant.role} on {telling.scope(grant)}")
