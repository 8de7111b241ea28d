"""`pierhead user`: who may sign in."""

from typing import TYPE_CHECKING, Any

import click

from pierhead.cli import telling
from pierhead.cli.flags import place_flags, refuse
from pierhead.cli.local import as_json, change, echo_json, printable
from pierhead.cli.telling import ask_password, done, limit, password_stdin, when

if TYPE_CHECKING:
    from pierhead.accounts.accounts import Accounts
    from pierhead.accounts.by import By
    from pierhead.accounts.users import Shown
    from pierhead.metadata.principals import Principal

_COLUMNS = ("NAME", "SOURCE", "STATE", "SECOND FACTOR", "SEEN", "CALLED")


@click.group()
def user() -> None:
    """Make, change and list users."""


@user.command()
@place_flags
@click.argument("name")
@click.option("--admin", is_flag=True, help="An administrator of the whole system.")
@click.option("--display", default="", metavar="TEXT", help="What to call them.")
@click.option("--email", default="", metavar="ADDRESS")
@password_stdin
@click.option("--no-password", is_flag=True, help="One that signs in with tokens only.")
@as_json
def create(name: str, *, as_json: bool, **options: Any) -> None:
    """Make a user, whose password is asked for.

    The first account ends the time in which whoever is on the machine may do everything. It may be made before the
    registry is first started.
    """
    if options["no_password"] and options["password_stdin"]:
        raise click.UsageError("--no-password does not go with --password-stdin")
    password = None if options["no_password"] else ask_password(stdin=options["password_stdin"])
    told = {word: options[word] for word in ("admin", "display", "email")}

    async def work(accounts: "Accounts", by: "By") -> "Principal":
        return await accounts.users.create(name, password, **told, by=by)

    made = change(options, work, make=True)
    if as_json:
        echo_json(telling.principal(made) | {"admin": options["admin"]})
        return
    click.echo(f"made {name}" + ", an administrator" * options["admin"])
    if not options["admin"]:
        click.echo(f"it holds no role yet: pierhead grant add ROLE --to {name} --on PROJECT", err=True)


@user.command("set-password")
@place_flags
@click.argument("name")
@password_stdin
@as_json
def set_password(name: str, *, password_stdin: bool, as_json: bool, **place: Any) -> None:
    """Give a user another password, which is asked for.

    Whoever signed in with the one before has to sign in anew. Personal tokens go on to work.
    """
    password = ask_password(stdin=password_stdin)

    async def work(accounts: "Accounts", by: "By") -> None:
        await accounts.users.set_password(name, password, by=by)

    change(place, work)
    done({"name": name, "password_set": True}, f"{name} has another password", as_json=as_json)


@user.command()
@place_flags
@click.argument("name")
@click.option("--display", required=True, metavar="TEXT", help="What to call them.")
@click.option("--email", required=True, metavar="ADDRESS")
@as_json
def describe(name: str, *, display: str, email: str, as_json: bool, **place: Any) -> None:
    """Change what a user is called, and the address."""

    async def work(accounts: "Accounts", by: "By") -> None:
        await accounts.users.describe(name, display=display, email=email, by=by)

    change(place, work)
    done({"name": name, "display": display, "email": email}, f"{name} is described", as_json=as_json)


@user.command()
@place_flags
@click.argument("name")
@as_json
def disable(name: str, *, as_json: bool, **place: Any) -> None:
    """Let a user in no more, by any credential, from the next request on."""
    _set_disabled(place, name, disabled=True, as_json=as_json)


@user.command()
@place_flags
@click.argument("name")
@as_json
def enable(name: str, *, as_json: bool, **place: Any) -> None:
    """Let a user in again, with all that they held."""
    _set_disabled(place, name, disabled=False, as_json=as_json)


def _set_disabled(place: dict[str, Any], name: str, *, disabled: bool, as_json: bool) -> None:
    async def work(accounts: "Accounts", by: "By") -> None:
        await accounts.users.set_disabled(name, disabled=disabled, by=by)

    change(place, work)
    done({"name": name, "disabled": disabled}, f"{name} is {'disabled' if disabled else 'enabled'}", as_json=as_json)


@user.command()
@place_flags
@click.argument("name")
@as_json
def delete(name: str, *, as_json: bool, **place: Any) -> None:
    """Remove a user with tokens and grants. What they did stays in the audit trail."""

    async def work(accounts: "Accounts", by: "By") -> None:
        await accounts.users.delete(name, by=by)

    change(place, work)
    done({"name": name, "deleted": True}, f"{name} is deleted", as_json=as_json)


@user.command("reset-second-factor")
@place_flags
@click.argument("name")
@as_json
def reset_second_factor(name: str, *, as_json: bool, **place: Any) -> None:
    """Remove the second factor of a user who lost it."""

    async def work(accounts: "Accounts", by: "By") -> bool:
        return await accounts.users.reset_second_factor(name, by=by)

    removed = change(place, work)
    if not removed and not as_json:
        refuse([f"{name} has no second factor"], 1)
    done({"name": name, "removed": removed}, f"{name} has no second factor any more", as_json=as_json)


@user.command("list")
@place_flags
@limit
@click.option("--after", default="", metavar="NAME", help="Those past this one.")
@as_json
def list_(*, limit: int, after: str, as_json: bool, **place: Any) -> None:
    """Show users: those made here, and those of other sources who signed in once."""

    async def work(accounts: "Accounts", _: "By") -> "list[Principal]":
        return await accounts.users.page(after=after, size=limit + 1)

    telling.page("users", change(place, work), limit, (_COLUMNS, _line), as_json=as_json)


def _line(one: "Principal") -> tuple[str, ...]:
    factor = "on" if one.has_second_factor else "-"
    return (one.name, one.source, telling.state(one), factor, when(one.seen_at), printable(one.display) or "-")


@user.command()
@place_flags
@click.argument("name")
@as_json
def show(name: str, *, as_json: bool, **place: Any) -> None:
    """Show a user, with teams and grants."""

    async def work(accounts: "Accounts", _: "By") -> "Shown":
        return await accounts.users.show(name)

    found = change(place, work)
    if as_json:
        told = telling.principal(found.user)
        echo_json(told | {"teams": found.teams, "grants": [telling.grant(one) for one in found.grants]})
        return
    one = found.user
    click.echo(f"{one.name}, of {one.source}, {telling.state(one)}, last seen {when(one.seen_at, 'never')}")
    if one.display or one.email:
        click.echo(f"  called {printable(one.display) or '-'}, {printable(one.email) or 'no address'}")
    click.echo(f"  second factor: {'on' if one.has_second_factor else 'off'}")
    click.echo(f"  teams: {', '.join(found.teams) or 'none'}")
    for grant in found.grants:
        click.echo(f"  {grant.role} on {telling.scope(grant)}")
