"""`pierhead access`: why somebody may do something, or may not."""

# ruff: noqa: PLC0415

from typing import TYPE_CHECKING, Any

import click

from pierhead.cli.flags import CONFIGURATION_MISTAKES, load, place_flags, refuse
from pierhead.cli.local import as_json, echo_json, printable

if TYPE_CHECKING:
    from pierhead.access.explaining import Explained
    from pierhead.access.rights import Grant

_REFUSED = 1


@click.group()
def access() -> None:
    """See who may do what, and why."""


@access.command()
@place_flags
@click.argument("user")
@click.argument("verb")
@click.argument("repository")
@as_json
def explain(user: str, verb: str, repository: str, as_json: bool, **place: Any) -> None:  # noqa: FBT001  click's
    """Say whether USER may do VERB on REPOSITORY, and every grant that led to it.

    USER is a user, a robot (team+ci), a team (@dev), or anonymous. The exit code is 0 where it is allowed, else 1.
    """
    import asyncio

    from pierhead import places
    from pierhead.errors import ConfigurationError, PierheadError
    from pierhead.models import RepositoryName
    from pierhead.verbs import BY_WORD

    if verb not in BY_WORD:
        refuse([f"{printable(verb)} is no verb; there are {', '.join(BY_WORD)}"], CONFIGURATION_MISTAKES)
    settings = load(place["config"], place).settings
    try:
        name = RepositoryName.parse(repository)
        explained = asyncio.run(places.explain_access(settings, user, BY_WORD[verb], name))
    except ConfigurationError as error:
        refuse(error.mistakes, CONFIGURATION_MISTAKES)
    except PierheadError as error:
        refuse([f"{error.__class__.__doc__}: {printable(str(error))}"], CONFIGURATION_MISTAKES)
    if as_json:
        echo_json(_told(explained))
    else:
        click.echo(_text(explained))
    raise SystemExit(0 if explained.allowed else _REFUSED)


def _text(explained: "Explained") -> str:
    says = "may" if explained.allowed else "may not"
    lines = [f"{printable(explained.name)} {says} {explained.verb} on {explained.place.name}"]
    lines += [f"  {grant.role}, {_where(grant)}, through {grant.through}" for grant in explained.grants]
    lines += [f"  {reason}" for reason in explained.reasons]
    if not explained.allowed:
        lines.append(f"  holds here: {', '.join(sorted(explained.held)) or 'nothing'}")
    return "\n".join(lines)


def _where(grant: "Grant") -> str:
    if grant.project_id is None:
        return "on the system"
    return f"on {grant.pattern.text} of the project" if grant.pattern else "on the project"


def _told(explained: "Explained") -> dict[str, Any]:
    return {
        "user": explained.name,
        "verb": explained.verb,
        "repository": explained.place.name,
        "allowed": explained.allowed,
        "grants": [
            {
                "role": grant.role,
                "through": grant.through,
                "scope": "system" if grant.project_id is None else "project",
                "pattern": grant.pattern.text if grant.pattern else None,
            }
            for grant in explained.grants
        ],
        "reasons": explained.reasons,
        "held": sorted(explained.held),
    }
