"""`pierhead repository`: what a repository is called, and who sees it."""

# ruff: noqa: PLC0415

from typing import TYPE_CHECKING, Any

import click

from pierhead.cli.flags import place_flags
from pierhead.cli.local import as_json, change
from pierhead.cli.telling import done

if TYPE_CHECKING:
    from pierhead.accounts.accounts import Accounts
    from pierhead.accounts.by import By

_AS_ITS_PROJECT = "project"


@click.group()
def repository() -> None:
    """Rename repositories, and decide who sees them."""


@repository.command()
@place_flags
@click.argument("name")
@click.argument("new_name")
@as_json
def rename(name: str, new_name: str, *, as_json: bool, **place: Any) -> None:
    """Give a repository another name, in its project or in another one.

    Its history and its trash stay, and grants on it by its very name. The old name leads to the new one, and is nobody
    else's until `pierhead project alias remove` lets go of it. Who holds something in the other project holds it here
    from then on; who held something in the project before does not.
    """

    async def work(accounts: "Accounts", by: "By") -> None:
        from pierhead.models import RepositoryName

        before, after = RepositoryName.parse(name), RepositoryName.parse(new_name)
        await accounts.projects.renaming.repository(before, after, by=by)

    change(place, work)
    done({"name": new_name, "alias": name}, f"{name} is called {new_name} now, and leads there", as_json=as_json)


@repository.command()
@place_flags
@click.argument("name")
@click.argument("visibility", type=click.Choice(["private", "public", _AS_ITS_PROJECT]))
@as_json
def visibility(name: str, visibility: Any, *, as_json: bool, **place: Any) -> None:
    """Let everybody pull from a repository, or those alone who were granted it; or all as its project says."""

    async def work(accounts: "Accounts", by: "By") -> None:
        from pierhead.models import RepositoryName

        own = None if visibility == _AS_ITS_PROJECT else visibility
        await accounts.projects.set_visibility_of_repository(RepositoryName.parse(name), own, by=by)

    change(place, work)
    shown = "as its project" if visibility == _AS_ITS_PROJECT else visibility
    done({"name": name, "visibility": visibility}, f"{name} is {shown}", as_json=as_json)
