"""A directory tried out step by step, for the administrator who writes its settings. Blocking."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from pierhead.access.ldap.directory import prepare
from pierhead.access.ldap.failures import DirectoryRefused, ServerFailed
from pierhead.access.ldap.lookup import Lookup, Person
from pierhead.access.ldap.mapping import role_of, teams_of
from pierhead.access.ldap.servers import Server
from pierhead.access.sources import SourceUnavailable
from pierhead.source_settings import LdapSettings


@dataclass(frozen=True, slots=True)
class Step:
    """What was tried, and what came of it; the facts are for who reads them by a program."""

    tried: str
    passed: bool
    said: str
    facts: dict[str, object] = field(default_factory=dict)


def reach(settings: LdapSettings) -> Iterator[Step]:
    """Each server by itself. Raises ConfigurationError."""
    _, servers = prepare(settings)
    for server in servers.each:
        yield _reached(server, settings)


def _reached(server: Server, settings: LdapSettings) -> Step:
    try:
        with server.connect("lookup") as connection:
            tls = connection.tls
    except ServerFailed as error:
        return Step("server", passed=False, said=f"{server.url}: {error}", facts={"url": server.url})
    who = f"signed in as {settings.bind_dn}" if settings.bind_dn else "without signing in"
    return Step(
        "server",
        passed=True,
        said=f"{server.url} answers, {tls or 'without TLS'}, {who}",
        facts={"url": server.url, "tls": tls or None},
    )


def sign_in(settings: LdapSettings, login: str, password: bytes | None) -> Iterator[Step]:
    """As if somebody signed in; without a password everything but its check. Ends at the first step that fails."""
    lookup, servers = prepare(settings)
    ends = time.monotonic() + settings.total_seconds
    try:
        yield from _signed_in(settings, lookup, login, password, ends)
    except (DirectoryRefused, SourceUnavailable) as error:
        yield Step("directory", passed=False, said=str(error))
    finally:
        servers.close()


def _signed_in(
    settings: LdapSettings, lookup: Lookup, login: str, password: bytes | None, ends: float
) -> Iterator[Step]:
    person = lookup.person(login, ends)
    if person is None:
        yield Step("user", passed=False, said=f"{settings.filter} finds nobody below {settings.base_dn}")
        return
    yield _found(person)
    if password is not None:
        accepted = lookup.accepts(person, password, ends)
        yield Step("password", passed=accepted, said="the password is right" if accepted else "the password is refused")
        if not accepted:
            return
    if settings.group_base_dn is not None:
        yield _grouped(settings, lookup, person, ends)


def _found(person: Person) -> Step:
    facts: dict[str, object] = {
        "dn": person.dn,
        "name": person.name,
        "display": person.display,
        "email": person.email,
        "subject": person.subject,
    }
    details = "".join(f"\n  {name}: {value}" for name, value in facts.items() if value and name != "dn")
    return Step("user", passed=True, said=f"found {person.dn}{details}", facts=facts)


def _grouped(settings: LdapSettings, lookup: Lookup, person: Person, ends: float) -> Step:
    groups = lookup.groups(person, ends)
    names = [group.name for group in groups]
    role, teams = role_of(settings, names), teams_of(settings, names)
    lines = [f"{group.name}: {group.dn}" for group in groups]
    lines += [f"role: {role}"] if role else []
    lines += [f"teams: {', '.join(teams)}"] if teams else []
    said = "\n  ".join([f"in {len(groups)} {'group' if len(groups) == 1 else 'groups'}", *lines])
    facts: dict[str, object] = {
        "groups": {group.dn: group.name for group in groups},
        "role": role,
        "teams": list(teams),
    }
    return Step("groups", passed=True, said=said, facts=facts)
