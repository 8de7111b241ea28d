"""What a client asks for: the `scope` parameters of /token. Pure; what of it is given, others decide.

distribution, "Token Scope Documentation", section "Resource Scope Grammar":

    type ["(" class ")"] ":" [host [":" port] "/"] name ":" action *("," action)

Types, names and actions that mean nothing here are left out, and the class is ignored, as it says. The host is
understood where it is the registry's own: clients of Docker Content Trust send it before the name.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pierhead.errors import RepositoryNameInvalid, ScopeInvalid
from pierhead.models import RepositoryName
from pierhead.verbs import ACTIONS

CATALOG = "registry:catalog:*"
_TYPE = re.compile(r"([a-z0-9]+)(?:\([a-z0-9]+\))?")
_LONGEST = 1024  # characters of one scope; names have 255


@dataclass(frozen=True, slots=True)
class Wanted:
    """Some actions in a repository."""

    asked: str  # the name as the client wrote it
    name: RepositoryName  # without the registry's own host
    literal: RepositoryName | None  # with it, where that could be a name too: a project may be called like the host
    actions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Asked:
    repositories: tuple[Wanted, ...] = ()
    catalog: bool = False


def parse(values: Iterable[str], *, hosts: frozenset[str], most: int) -> Asked:
    """Of all parameters together; `hosts` are the registry's own, in lower case. Raises ScopeInvalid beyond `most`."""
    scopes = [scope for value in values for scope in value.split(" ") if scope]
    if len(scopes) > most:
        raise ScopeInvalid(f"at most {most} scopes are taken at once (setting tokens.max_scopes)")
    repositories: dict[str, frozenset[str]] = {}
    catalog = False
    for scope in dict.fromkeys(scopes):
        kind, name, actions = _parts(scope)
        if kind == "repository":
            repositories[name] = repositories.get(name, frozenset()) | _known(actions)
        elif (kind, name) == ("registry", "catalog"):
            catalog = catalog or "*" in actions
    found = (_wanted(name, actions, hosts) for name, actions in repositories.items() if actions)
    return Asked(tuple(wanted for wanted in found if wanted), catalog)


def written(name: str, actions: Iterable[str]) -> str:
    """A scope as clients know it, its actions in the order that they have here."""
    held = frozenset(actions)
    return f"repository:{name}:{','.join(action for action in ACTIONS if action in held)}"


def _parts(scope: str) -> tuple[str, str, list[str]]:
    """Type, name and actions; the name may hold a colon before a port. Without a type where it is no scope."""
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    matched = _TYPE.fullmatch(kind)
    if matched is None or not name or len(scope) > _LONGEST:
        return "", "", []
    return matched[1], name, actions.split(",")


def _known(actions: list[str]) -> frozenset[str]:
    return frozenset(ACTIONS) if "*" in actions else frozenset(actions) & ACTIONS.keys()


def _wanted(asked: str, actions: frozenset[str], hosts: frozenset[str]) -> Wanted | None:
    host, _, rest = asked.partition("/")
    if rest and host.lower() in hosts:
        name = _name(rest)
        return Wanted(asked, name, _name(asked), actions) if name else None
    name = _name(asked)
    return Wanted(asked, name, None, actions) if name else None


def _name(text: str) -> RepositoryName | None:
    try:
        return RepositoryName.parse(text)
    except RepositoryNameInvalid:
        return None
