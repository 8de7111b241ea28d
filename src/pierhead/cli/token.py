"""`pierhead token`: secrets that clients and machines sign in with, in place of a password."""

# ruff: noqa: PLC0415

from typing import TYPE_CHECKING, Any

import click

from pierhead.cli import telling
from pierhead.cli.flags import CONFIGURATION_MISTAKES, place_flags, refuse
from pierhead.cli.local import as_json, change, echo_json, printable, table
from pierhead.cli.moments import FUTURE
from pierhead.cli.telling import done, limit, seconds_until, when

if TYPE_CHECKING:
    from pierhead.accounts.accounts import Accounts
    from pierhead.accounts.by import By
    from pierhead.accounts.tokens import Listed, Made
    from pierhead.metadata.tokens import Token
    from pierhead.verbs import Verbs

_COLUMNS = ("ID", "OWNER", "NAME", "KIND", "MAY", "WHERE", "EXPIRES", "USED", "FROM")

overlap = click.option("--overlap", type=FUTURE, metavar="TIME", help="Let the old one work for so long: 24h [not].")
expires = click.option("--expires", type=FUTURE, metavar="MOMENT", help="2026-01-31, or 90d from now [never].")


@click.group()
def token() -> None:
    """Make, list, rotate and revoke tokens."""


@token.command()
@place_flags
@click.argument("owner")
@click.option("--name", required=True, metavar="TEXT", help="What it is for.")
@click.option("--verb", "words", multiple=True, metavar="VERB", help="It may do this alone; several times for more.")
@click.option("--on", "places", multiple=True, metavar="PLACE", help="Here alone: team, or 'team/web/**'.")
@expires
@as_json
def create(owner: str, *, name: str, as_json: bool, **options: Any) -> None:
    """Make a token for a user, or one more secret for a robot, and show it this once.

    It never gives more than its owner holds. A place is bound to the project that has the name now: one that is made
    anew under that name later is not opened by it.
    """
    words, places, expires = options["words"], options["places"], options["expires"]
    verbs = read_verbs(words) if words else None

    async def work(accounts: "Accounts", by: "By") -> "Made":
        from pierhead.accounts.scopes import Scope
        from pierhead.accounts.tokens import Asked

        bound = tuple(map(Scope.parse, places)) if places else None
        return await accounts.tokens.create(owner, Asked(name, verbs, bound, seconds_until(expires)), by=by)

    telling.made(change(options, work), as_json=as_json)


def read_verbs(words: "tuple[str, ...]") -> "Verbs":
    """Ends the program for a word that is none."""
    from pierhead.verbs import BY_WORD

    if unknown := [word for word in words if word not in BY_WORD]:
        mistake = f"{printable(', '.join(unknown))}: no such verb; there are {', '.join(BY_WORD)}"
        refuse([mistake], CONFIGURATION_MISTAKES)
    return frozenset(BY_WORD[word] for word in words)


@token.command("list")
@place_flags
@click.argument("owner", required=False)
@click.option("--over", is_flag=True, help="Those too that were revoked, or have expired.")
@limit
@click.option("--after", type=int, default=0, metavar="ID", help="Tokens past this one.")
@as_json
def list_(owner: str | None, *, limit: int, as_json: bool, **options: Any) -> None:
    """Show tokens of a user or a robot, or of all, and when and from where each was used last.

    Those of the kind refresh are what clients keep after a sign-in; they can be revoked as well.
    """

    async def work(accounts: "Accounts", _: "By") -> "list[Listed]":
        return await accounts.tokens.page(owner, over=options["over"], after=options["after"], size=limit + 1)

    found = change(options, work)
    shown, more = found[:limit], found[limit:]
    following = shown[-1].token.id if more else None
    if as_json:
        echo_json({"tokens": [telling.listed(one) for one in shown], "next_after": following})
        return
    click.echo(table(_COLUMNS, [_line(one) for one in shown]), nl=False)
    if following is not None:
        click.echo(f"more of them: --after {following}", err=True)


def _line(listed: "Listed") -> tuple[str, ...]:
    one = listed.token
    may = "all of its owner" if one.verbs is None else " ".join(one.verbs)
    places = "everywhere" if listed.places is None else " ".join(place or "(deleted)" for place in listed.places)
    ends = "revoked" if one.revoked_at is not None else when(one.expires_at, "never") + " (over)" * one.over
    return (
        str(one.id), one.owner, printable(one.name), one.kind, may, places, ends,
        when(one.used_at, "never"), one.used_from or "-",
    )  # fmt: skip


@token.command()
@place_flags
@click.argument("number", type=int, metavar="ID")
@overlap
@as_json
def rotate(number: int, *, overlap: int | None, as_json: bool, **place: Any) -> None:
    """Make a new token like this one, and show it this once.

    The old one ends at once, or after the overlap, so that what uses it can be changed meanwhile.
    """

    async def work(accounts: "Accounts", by: "By") -> "Made":
        return await accounts.tokens.rotate(number, overlap_seconds=seconds_until(overlap) or 0, by=by)

    telling.made(change(place, work), as_json=as_json)


@token.command("replace-key")
@place_flags
@as_json
def replace_key(*, as_json: bool, **place: Any) -> None:
    """Sign bearer tokens with a new key at once, for when the old one became known.

    All bearer tokens end within a second, and clients fetch new ones by themselves. Otherwise keys change in time.
    """

    async def work(accounts: "Accounts", by: "By") -> str:
        return await accounts.signing_keys.replace(by=by)

    kid = change(place, work)
    done({"kid": kid}, f"bearer tokens are signed by {kid}", as_json=as_json)


@token.command()
@place_flags
@click.argument("number", type=int, metavar="ID")
@as_json
def revoke(number: int, *, as_json: bool, **place: Any) -> None:
    """End a token: it is refused from the next request on."""

    async def work(accounts: "Accounts", by: "By") -> "Token":
        return await accounts.tokens.revoke(number, by=by)

    one = change(place, work)
    done({"id": one.id, "revoked": True}, f"token {one.id} of {one.owner} is revoked", as_json=as_json)
