"""`pierhead project`: projects, who sees them, and what they are called."""

from typing import TYPE_CHECKING, Any

import click

from pierhead.cli import telling
from pierhead.cli.flags import place_flags
from pierhead.cli.local import as_json, change, echo_json, moment, table
from pierhead.cli.telling import done, limit

if TYPE_CHECKING:
    from pierhead.accounts.accounts import Accounts
    from pierhead.accounts.by import By
    from pierhead.accounts.projects import Shown
    from pierhead.metadata.aliases import Alias
    from pierhead.metadata.projects import Project

_COLUMNS = ("NAME", "VISIBILITY", "OWNER", "SINCE")
_ALIASES = ("NAME", "LEADS TO", "KIND", "SINCE")


@click.group()
def project() -> None:
    """Make, show and rename projects."""


@project.command()
@place_flags
@click.argument("name")
@click.option("--public", is_flag=True, help="Everybody may pull, also without signing in.")
@click.option("--admin", metavar="NAME", help="The user or team that administers it.")
@as_json
def create(name: str, *, public: bool, admin: str | None, as_json: bool, **place: Any) -> None:
    """Make a project."""

    async def work(accounts: "Accounts", by: "By") -> "Project":
        return await accounts.projects.create(name, visibility="public" if public else "private", admin=admin, by=by)

    made = change(place, work)
    done(_told(made), f"made {name}, {made.visibility}", as_json=as_json)


@project.command("list")
@place_flags
@limit
@click.option("--after", default="", metavar="NAME", help="Those past this one.")
@as_json
def list_(*, limit: int, after: str, as_json: bool, **place: Any) -> None:
    """Show projects."""

    async def work(accounts: "Accounts", _: "By") -> "list[Project]":
        return await accounts.projects.page(after=after, size=limit + 1)

    found = change(place, work)
    shown, more = found[:limit], found[limit:]
    if as_json:
        echo_json({"projects": [_told(one) for one in shown], "next_after": shown[-1].name if more else None})
        return
    lines = [(one.name, one.visibility, one.owner or "-", moment(one.created_at)) for one in shown]
    click.echo(table(_COLUMNS, lines), nl=False)
    if more:
        click.echo(f"more of them: --after {shown[-1].name}", err=True)


@project.command()
@place_flags
@click.argument("name")
@as_json
def show(name: str, *, as_json: bool, **place: Any) -> None:
    """Show a project, with who holds which role in it."""

    async def work(accounts: "Accounts", _: "By") -> "Shown":
        return await accounts.projects.show(name)

    found = change(place, work)
    if as_json:
        told = _told(found.project) | {"repositories": found.repositories}
        echo_json(told | {"grants": [telling.grant(one) for one in found.grants]})
        return
    click.echo(f"{name}, {found.project.visibility}, since {moment(found.project.created_at)}")
    click.echo(f"  repositories: {found.repositories}")
    for grant in found.grants:
        click.echo(f"  {grant.principal or 'everybody'} is {grant.role} on {telling.scope(grant)}")


@project.command()
@place_flags
@click.argument("name")
@click.argument("visibility", type=click.Choice(["private", "public"]))
@as_json
def visibility(name: str, visibility: Any, *, as_json: bool, **place: Any) -> None:
    """Let everybody pull from a project, or those alone who were granted it."""

    async def work(accounts: "Accounts", by: "By") -> "Project":
        return await accounts.projects.set_visibility(name, visibility, by=by)

    done(_told(change(place, work)), f"{name} is {visibility}", as_json=as_json)


@project.command()
@place_flags
@click.argument("name")
@click.argument("new_name")
@as_json
def rename(name: str, new_name: str, *, as_json: bool, **place: Any) -> None:
    """Give a project another name, with its repositories and robots.

    Grants, history and the trash stay. The old name leads to the new one, and is nobody else's until `pierhead project
    alias remove` lets go of it.
    """

    async def work(accounts: "Accounts", by: "By") -> None:
        await accounts.projects.renaming.project(name, new_name, by=by)

    change(place, work)
    done({"name": new_name, "alias": name}, f"{name} is called {new_name} now, and leads there", as_json=as_json)


@project.group()
def alias() -> None:
    """Look at the names that projects and repositories had, and let go of them."""


@alias.command("list")
@place_flags
@limit
@click.option("--after", default="", metavar="NAME", help="Those past this one.")
@as_json
def list_aliases(*, limit: int, after: str, as_json: bool, **place: Any) -> None:
    """Show names that lead to something that is called otherwise now."""

    async def work(accounts: "Accounts", _: "By") -> "list[Alias]":
        return await accounts.projects.renaming.aliases(after=after, size=limit + 1)

    found = change(place, work)
    shown, more = found[:limit], found[limit:]
    if as_json:
        following = shown[-1].name if more else None
        echo_json({"aliases": [_told_alias(one) for one in shown], "next_after": following})
        return
    lines = [(one.name, one.target, one.kind, moment(one.made_at)) for one in shown]
    click.echo(table(_ALIASES, lines), nl=False)
    if more:
        click.echo(f"more of them: --after {shown[-1].name}", err=True)


@alias.command("remove")
@place_flags
@click.argument("name")
@as_json
def remove_alias(name: str, *, as_json: bool, **place: Any) -> None:
    """Let a name lead nowhere, so that it can be used anew."""

    async def work(accounts: "Accounts", by: "By") -> "Alias":
        return await accounts.projects.renaming.remove_alias(name, by=by)

    found = change(place, work)
    done(_told_alias(found) | {"removed": True}, f"{name} leads to {found.target} no more", as_json=as_json)


def _told(one: "Project") -> dict[str, Any]:
    return {
        "name": one.name,
        "visibility": one.visibility,
        "owner": one.owner,
        "created_at": moment(one.created_at),
    }


def _told_alias(one: "Alias") -> dict[str, Any]:
    return {"name": one.name, "kind": one.kind, "target": one.target, "created_at": moment(one.made_at)}
