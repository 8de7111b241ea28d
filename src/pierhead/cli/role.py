"""`pierhead role`: which verbs go by which name."""

from typing import TYPE_CHECKING, Any

import click

from pierhead.cli.flags import place_flags
from pierhead.cli.local import as_json, change, echo_json, table
from pierhead.cli.telling import done
from pierhead.cli.token import read_verbs

if TYPE_CHECKING:
    from pierhead.accounts.accounts import Accounts
    from pierhead.accounts.by import By
    from pierhead.accounts.roles import Role

_COLUMNS = ("ROLE", "CUSTOM", "VERBS")


@click.group()
def role() -> None:
    """Make and change custom roles: named sets of verbs."""


@role.command()
@place_flags
@click.argument("name")
@click.argument("verbs", nargs=-1, required=True)
@as_json
def create(name: str, verbs: tuple[str, ...], *, as_json: bool, **place: Any) -> None:
    """Make a role of these verbs."""
    wanted = read_verbs(verbs)

    async def work(accounts: "Accounts", by: "By") -> "Role":
        return await accounts.roles.create(name, wanted, by=by)

    done(_told(change(place, work)), f"made {name}: {' '.join(sorted(wanted))}", as_json=as_json)


@role.command("change")
@place_flags
@click.argument("name")
@click.argument("verbs", nargs=-1, required=True)
@as_json
def change_(name: str, verbs: tuple[str, ...], *, as_json: bool, **place: Any) -> None:
    """Let a role be of these verbs alone, for all who have it."""
    wanted = read_verbs(verbs)

    async def work(accounts: "Accounts", by: "By") -> "Role":
        return await accounts.roles.change(name, wanted, by=by)

    done(_told(change(place, work)), f"{name}: {' '.join(sorted(wanted))}", as_json=as_json)


@role.command()
@place_flags
@click.argument("name")
@as_json
def delete(name: str, *, as_json: bool, **place: Any) -> None:
    """Remove a role that nobody has."""

    async def work(accounts: "Accounts", by: "By") -> None:
        await accounts.roles.delete(name, by=by)

    change(place, work)
    done({"name": name, "deleted": True}, f"{name} is deleted", as_json=as_json)


@role.command("list")
@place_flags
@as_json
def list_(*, as_json: bool, **place: Any) -> None:
    """Show all roles, with their verbs."""

    async def work(accounts: "Accounts", _: "By") -> "list[Role]":
        return await accounts.roles.all_()

    found = change(place, work)
    if as_json:
        echo_json([_told(one) for one in found])
        return
    lines = [(one.name, "yes" if one.custom else "-", " ".join(sorted(one.verbs))) for one in found]
    click.echo(table(_COLUMNS, lines), nl=False)


def _told(one: "Role") -> dict[str, Any]:
    return {"name": one.name, "custom": one.custom, "verbs": sorted(one.verbs)}
