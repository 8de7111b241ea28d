"""Rows that decisions are made on: who somebody is, what he was granted, and what a name leads to."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pierhead.metadata.database import Transaction
from pierhead.models import Place, RepositoryName


@dataclass(frozen=True, slots=True)
class Epoch:
    """Which state of all this it is, and since when the registry has accounts."""

    number: int
    closed: int | None


@dataclass(frozen=True, slots=True)
class Holder:
    """A principal as decisions see it."""

    id: int
    kind: str
    name: str
    source: str
    groups: tuple[str, ...]
    disabled: bool
    gone: bool  # its source knows it no more
    seen_at: int  # signed in last, or made
    version: int  # of its password; 0 where it has none


@dataclass(frozen=True, slots=True)
class Granted:
    """A role that somebody holds. `through` is the principal that it was given to, None where that is everybody."""

    id: int
    role: str
    verbs: tuple[str, ...] | None  # of a custom role
    project_id: int | None
    pattern: str | None
    through: str | None


@dataclass(frozen=True, slots=True)
class Ticket:
    """A row of tokens as decisions see it."""

    principal_id: int
    kind: str
    name: str
    hashed: bytes
    verbs: tuple[str, ...] | None
    places: tuple[tuple[int | None, str], ...] | None  # ids of projects, with a pattern below each
    expires_at: int | None
    revoked_at: int | None


async def epoch(tx: Transaction) -> Epoch:
    row = await tx.fetch_one("SELECT number, closed FROM access_epoch")
    assert row is not None  # noqa: S101  the schema made it
    return Epoch(*row)


async def close(tx: Transaction) -> None:
    """From the commit on the registry has accounts, for ever."""
    await tx.execute("UPDATE access_epoch SET closed = clock_us(), number = number + 1 WHERE closed IS NULL")


async def holder(tx: Transaction, principal_id: int) -> Holder | None:
    row = await tx.fetch_one(
        """
        SELECT principals.id, kind, name, source, groups, disabled_at, gone_at, coalesce(seen_at, made_at),
               coalesce(passwords.version, 0)
          FROM principals LEFT JOIN passwords ON passwords.principal_id = principals.id
         WHERE principals.id = :id
        """,
        id=principal_id,
    )
    if row is None:
        return None
    found, kind, name, source, groups, disabled_at, gone_at, seen_at, version = row
    disabled, gone = disabled_at is not None, gone_at is not None
    return Holder(found, kind, name, source, tuple(json.loads(groups)), disabled, gone, seen_at, version)


async def named(tx: Transaction, name: str) -> Holder | None:
    """A principal by its name: a user, a team (`@dev`) or a robot (`team+ci`)."""
    row = await tx.fetch_one("SELECT id FROM principals WHERE name = :name", name=name)
    return await holder(tx, row[0]) if row else None


async def teams(tx: Transaction, holder: Holder, *, also: Sequence[str] = ()) -> list[int]:
    """Teams that somebody is in: as a member, or by a group of the source; and `also` those of these names."""
    rows = await tx.fetch_all(
        """
        SELECT team_id FROM memberships JOIN principals ON principals.id = team_id
         WHERE member_id = :id AND disabled_at IS NULL
        """,
        id=holder.id,
    )
    found = [row[0] for row in rows]
    if holder.groups and holder.kind == "user":
        linked = await tx.fetch_all(
            "SELECT id, subject FROM principals WHERE kind = 'team' AND source = :source AND disabled_at IS NULL",
            source=holder.source,
        )
        found += [team for team, group in linked if group in holder.groups]
    for name in also:
        row = await tx.fetch_one(
            "SELECT id FROM principals WHERE kind = 'team' AND name = :name AND disabled_at IS NULL", name=name
        )
        found += row or ()
    return list(dict.fromkeys(found))


async def granted(tx: Transaction, principal_id: int | None) -> list[Granted]:
    """What one principal was granted, or everybody; on projects that are not in the trash."""
    rows = await tx.fetch_all(
        """
        SELECT grants.id, role, roles.verbs, grants.project_id, pattern, principals.name
          FROM grants
          LEFT JOIN roles ON roles.name = role
          LEFT JOIN principals ON principals.id = grants.principal_id
          LEFT JOIN projects ON projects.id = grants.project_id
         WHERE coalesce(grants.principal_id, 0) = :principal_id AND projects.trash_id IS NULL
         ORDER BY grants.id
        """,
        principal_id=principal_id or 0,
    )
    return [
        Granted(found, role, tuple(json.loads(verbs)) if verbs else None, project, pattern, through)
        for found, role, verbs, project, pattern, through in rows
    ]


async def custom_role(tx: Transaction, name: str) -> tuple[str, ...]:
    """Its verbs; none where there is no such role."""
    row = await tx.fetch_one("SELECT verbs FROM roles WHERE name = :name", name=name)
    return tuple(json.loads(row[0])) if row else ()


async def ticket(tx: Transaction, token_id: int) -> Ticket | None:
    row = await tx.fetch_one(
        """
        SELECT principal_id, kind, name, hashed, verbs, places, expires_at, revoked_at FROM tokens WHERE id = :id
        """,
        id=token_id,
    )
    if row is None:
        return None
    principal_id, kind, name, hashed, verbs, places, expires_at, revoked_at = row
    return Ticket(
        principal_id,
        kind,
        name,
        bytes(hashed),
        tuple(json.loads(verbs)) if verbs else None,
        tuple((project, pattern) for project, pattern in json.loads(places)) if places else None,
        expires_at,
        revoked_at,
    )


async def place(tx: Transaction, asked: RepositoryName) -> Place:
    """What a name leads to, by way of the names that things had."""
    found = await _place(tx, asked)
    if found.repository_id is not None:
        return found
    row = await tx.fetch_one(
        """
        SELECT repositories.name FROM repository_aliases JOIN repositories ON repositories.id = repository_id
         WHERE repository_aliases.name = :name AND trash_id IS NULL AND repositories.name NOT LIKE '%@%'
        """,
        name=asked,
    )
    if row is not None:
        return await _place(tx, RepositoryName(row[0]))
    if found.project_id is not None:
        return found
    row = await tx.fetch_one(
        """
        SELECT projects.name FROM project_aliases JOIN projects ON projects.id = project_id
         WHERE project_aliases.name = :name AND trash_id IS NULL AND projects.name NOT LIKE '%@%'
        """,
        name=asked.project,
    )
    if row is None:
        return found
    return await _place(tx, RepositoryName(row[0] + asked[len(asked.project) :]))


async def _place(tx: Transaction, name: RepositoryName) -> Place:
    row = await tx.fetch_one(
        """
        SELECT projects.id, repositories.id, coalesce(repositories.visibility, projects.visibility),
               projects.created_at
          FROM projects LEFT JOIN repositories ON repositories.name = :name
         WHERE projects.name = :project
        """,
        name=name,
        project=name.project,
    )
    if row is None:
        return Place(name)
    project_id, repository_id, visibility, since = row
    return Place(name, project_id, repository_id, visibility == "public", since)
