"""Who somebody is in a directory, whether a password is theirs, and which groups they are in. Blocking."""

import time
from collections import deque
from dataclasses import dataclass
from uuid import UUID

from pierhead.access.ldap.connection import Connection, Entry
from pierhead.access.ldap.failures import DirectoryRefused
from pierhead.access.ldap.filters import any_of, escaped, filled
from pierhead.access.ldap.servers import Servers
from pierhead.source_settings import LdapSettings

_SUBJECTS = ("entryUUID", "objectGUID", "nsUniqueId", "ipaUniqueID")
_MEMBERS = "(|(member={dn})(uniqueMember={dn})(memberUid={name}))"
# LDAP_MATCHING_RULE_IN_CHAIN: Active Directory follows groups in groups by itself.
_MEMBERS_IN_CHAIN = "(member:1.2.840.113556.1.4.1941:={dn})"
_NO_ATTRIBUTES = "1.1"  # RFC 4511, 4.5.1.8
_DN = "dn"  # as the name of an attribute: it is none
_FILTERS_AT_ONCE = 50
_LONGEST_NAME = 256
_GUID_BYTES = 16
_CHECKS_REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class Person:
    dn: str
    name: str
    subject: str
    display: str
    email: str


@dataclass(frozen=True, slots=True)
class Group:
    dn: str
    name: str


class Lookup:
    """Each method raises SourceUnavailable where no server answers, DirectoryRefused where the answer is of no use."""

    def __init__(self, settings: LdapSettings, servers: Servers) -> None:
        self._settings = settings
        self._servers = servers
        # How long checks of passwords took lately, in seconds, without what connecting took.
        self.took: deque[float] = deque(maxlen=_CHECKS_REMEMBERED)
        in_chain = settings.nested_groups == "chain"
        self._group_filter = settings.group_filter or (_MEMBERS_IN_CHAIN if in_chain else _MEMBERS)

    def person(self, login: str, ends: float) -> Person | None:
        return self._one(filled(self._settings.filter, login=login), ends)

    def of_subject(self, subject: str, ends: float) -> Person | None:
        """Somebody known before, whatever he is called today, as long as he may sign in."""
        wanted = self._settings.subject_attribute
        any_login = self._settings.filter.replace("{login}", "*")
        if not wanted and "=" in subject:  # no attribute of the entry was readable
            return self._one(any_login, ends, base=subject)
        texts = [filled(f"({attribute}={{name}})", name=subject) for attribute in ((wanted,) if wanted else _SUBJECTS)]
        texts += [text.replace(escaped(subject), guid) for text in texts if (guid := _octets(subject))]
        # Any login: a presence where it stands alone, as it does in nearly every filter.
        person = self._one(f"(&{any_login}{any_of(texts)})", ends)
        if person is not None and person.subject != subject:
            raise DirectoryRefused(f"{person.dn} was {subject}, and is {person.subject} now (subject_attribute)")
        return person

    def _one(self, searched: str, ends: float, *, base: str | None = None) -> Person | None:
        """Below the settings' base, or of the entry that is named."""
        settings = self._settings
        wanted = [settings.name_attribute, settings.display_attribute, settings.email_attribute]
        wanted += [settings.subject_attribute] if settings.subject_attribute else _SUBJECTS
        where, scope = (settings.base_dn, settings.scope) if base is None else (base, "base")
        found = self._search(where, searched, wanted, ends, scope=scope, limit=1)
        if len(found) > 1:
            raise DirectoryRefused(f"more than one entry is found for this name: {found[0].dn} and {found[1].dn}")
        return self._person(found[0]) if found else None

    def accepts(self, person: Person, password: bytes, ends: float) -> bool:
        def bind(connection: Connection) -> bool:
            began = time.monotonic()
            accepted = connection.bind(person.dn, password)
            self.took.append(time.monotonic() - began)
            return accepted

        return self._servers.ask("passwords", bind, ends)

    def groups(self, person: Person, ends: float) -> list[Group]:
        """Sorted by name, those that hold groups of theirs included where the settings say so."""
        if self._settings.group_base_dn is None:
            return []
        found = self._members_of([person.dn], person, ends)
        newest = list(found.values())
        for _ in range(self._settings.nested_depth if self._settings.nested_groups == "follow" else 0):
            above = self._members_of([group.dn for group in newest], person, ends)
            newest = [group for key, group in above.items() if key not in found]
            if not newest:
                break
            found |= above
            self._check_number(len(found), person)
        return sorted(found.values(), key=lambda group: (group.name, group.dn))

    def _members_of(self, members: list[str], person: Person, ends: float) -> dict[str, Group]:
        """The groups that one of these is in, by their distinguished names in one spelling."""
        found: dict[str, Group] = {}
        for start in range(0, len(members), _FILTERS_AT_ONCE):
            some = members[start : start + _FILTERS_AT_ONCE]
            searched = any_of([filled(self._group_filter, dn=dn, name=person.name) for dn in some])
            for entry in self._groups_found(searched, ends):
                found[entry.dn.casefold()] = Group(entry.dn, self._group_name(entry))
            self._check_number(len(found), person)
        return found

    def _groups_found(self, searched: str, ends: float) -> list[Entry]:
        attribute, base = self._settings.group_name_attribute, self._settings.group_base_dn
        assert base is not None  # noqa: S101 - for the type checker: asked for only where it is set
        wanted = [_NO_ATTRIBUTES if attribute == _DN else attribute]
        return self._search(base, searched, wanted, ends, limit=self._settings.groups_max)

    def _check_number(self, number: int, person: Person) -> None:
        if number > self._settings.groups_max:
            raise DirectoryRefused(f"{person.dn} is in more than {self._settings.groups_max} groups (groups_max)")

    def _group_name(self, entry: Entry) -> str:
        attribute = self._settings.group_name_attribute
        return entry.dn if attribute == _DN else _one_name(entry, attribute)

    def _person(self, entry: Entry) -> Person:
        settings = self._settings
        return Person(
            dn=entry.dn,
            name=_one_name(entry, settings.name_attribute),
            subject=self._subject(entry),
            display=_first(entry, settings.display_attribute),
            email=_first(entry, settings.email_attribute),
        )

    def _subject(self, entry: Entry) -> str:
        wanted = self._settings.subject_attribute
        for attribute in (wanted,) if wanted else _SUBJECTS:
            if values := entry.attributes.get(attribute.lower()):
                return _identifier(values[0])
        if wanted:
            raise DirectoryRefused(f"{entry.dn} has no {wanted} that is readable (subject_attribute)")
        return entry.dn

    def _search(
        self, base: str, searched: str, attributes: list[str], ends: float, *, limit: int, scope: str = "subtree"
    ) -> list[Entry]:
        def search(connection: Connection) -> list[Entry]:
            return connection.search(base, searched, attributes, scope=scope, limit=limit)

        return self._servers.ask("lookup", search, ends)


def _one_name(entry: Entry, attribute: str) -> str:
    """The same one of several each time, whatever was typed."""
    names = [name for name in entry.texts(attribute) if name.isprintable() and len(name) <= _LONGEST_NAME]
    if not names:
        raise DirectoryRefused(f"{entry.dn} has no {attribute} that is a name, or it is not readable")
    return min(names)


def _first(entry: Entry, attribute: str) -> str:
    """Of what is only shown: on one line, and not too long."""
    text = next(iter(entry.texts(attribute)), "")
    return "".join(letter if letter.isprintable() else " " for letter in text)[:_LONGEST_NAME]


def _octets(subject: str) -> str:
    """The bytes that `_identifier` may have made it of, for a filter: an objectGUID, or others that are no text."""
    try:
        octets = UUID(subject).bytes_le if "-" in subject else bytes.fromhex(subject)
    except ValueError:
        return ""
    return "".join(f"\\{byte:02x}" for byte in octets)


def _identifier(value: bytes) -> str:
    """An objectGUID is 16 bytes, its first three parts little-endian; the others are texts."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if text.isprintable() and len(value) != _GUID_BYTES:
        return text or value.hex()
    return str(UUID(bytes_le=value)) if len(value) == _GUID_BYTES else value.hex()
