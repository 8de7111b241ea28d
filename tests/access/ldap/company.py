"""Who works at the company, and the ways to ask its directory."""

import asyncio
from pathlib import Path
from typing import Any

from pierhead.access.ldap.directory import LdapDirectory
from pierhead.access.sources import Identity
from pierhead.source_settings import LdapSettings
from tests.servers.slapd import GROUPS, PEOPLE, READER, READER_PASSWORD, Server

PASSWORD = "wonderland"  # of alice
ALICE = f"uid=alice,{PEOPLE}"
BOB = f"uid=bob,{PEOPLE}"
EVE = f"cn=Eve \\28Ops\\29\\, East \\2A,{PEOPLE}"


def person(dn: str, uid: str, *lines: str) -> str:
    return "\n".join(
        [f"dn: {dn}", "objectClass: inetOrgPerson", f"uid: {uid}", f"sn: {uid}", f"cn: {uid.title()}", *lines, "", ""]
    )


def group(name: str, *members: str) -> str:
    lines = [f"dn: cn={name},{GROUPS}", "objectClass: groupOfNames", f"cn: {name}"]
    return "\n".join([*lines, *(f"member: {member}" for member in members), "", ""])


def named(name: str) -> str:
    return f"cn={name},{GROUPS}"


COMPANY = "".join(
    [
        person(ALICE, "alice", "mail: alice@example.org", "userPassword: wonderland", "employeeType: staff"),
        person(BOB, "bob", "uid: robert", "userPassword: builder"),
        person(EVE, "eve", "cn: Eve (Ops), East *", "userPassword: drop"),
        person(f"uid=dave,{PEOPLE}", "dave"),
        person(f"uid=twin-one,{PEOPLE}", "twin-one", "mail: twin@example.org", "userPassword: two"),
        person(f"uid=twin-two,{PEOPLE}", "twin-two", "mail: twin@example.org", "userPassword: two"),
        person(f"sn=odd,{PEOPLE}", "o(pe)n*\\", "sn: odd", "userPassword: odd"),
        person(f"uid=jörg,{PEOPLE}", "jörg", "userPassword: größer"),
        group("developers", ALICE, EVE),
        group("operators", BOB),
        group("everybody", named("developers"), named("operators")),
        group("world", named("everybody")),
        group("ring-one", named("ring-two"), named("developers")),
        group("ring-two", named("ring-one")),
        f"dn: {named('posix')}\nobjectClass: posixGroup\ncn: posix\ngidNumber: 5\nmemberUid: alice\n\n",
        f"dn: {named('unique')}\nobjectClass: groupOfUniqueNames\ncn: unique\nuniqueMember: {ALICE}\n\n",
    ]
)


def settings(server: Server, **changed: Any) -> LdapSettings:
    values: dict[str, Any] = {
        "name": "corp",
        "url": [server.tls],
        "ca_certificate": server.authority,
        "bind_dn": READER,
        "bind_password": READER_PASSWORD,
        "base_dn": PEOPLE,
        "group_base_dn": GROUPS,
    }
    return LdapSettings(**{name: value for name, value in (values | changed).items() if value is not None})


def sign_in(wanted: LdapSettings, name: str = "alice", password: str = PASSWORD) -> Identity | None:
    with LdapDirectory(wanted) as directory:
        return asked(directory, name, password)


def asked(directory: LdapDirectory, name: str = "alice", password: str = PASSWORD) -> Identity | None:
    return asyncio.run(directory.check(name, password.encode()))


def groups(wanted: LdapSettings, name: str = "alice", password: str = PASSWORD) -> tuple[str, ...]:
    identity = sign_in(wanted, name, password)
    assert identity is not None
    return identity.groups


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
