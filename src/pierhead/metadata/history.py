"""Rows of what happened to tags, and of the repositories that had a name one after another.

An entry is never changed or removed. What it says of bytes is as of now: see `Bytes`.
"""

from dataclasses import dataclass
from typing import Literal

from pierhead.metadata.database import Row, Transaction, Value
from pierhead.models import Actor, Digest, RepositoryName, TagName


@dataclass(frozen=True, slots=True)
class Bytes:
    """Whether the manifest of a digest is still in its repository."""

    state: Literal["kept", "trash", "gone"]
    until: int | None = None  # in the trash: from then on it may go


@dataclass(frozen=True, slots=True)
class Target:
    """What a tag pointed to."""

    digest: Digest
    bytes: Bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """A move of a tag: when, by whom, and from where to where. None stands for a tag that was not or is not there."""

    id: int
    at: int  # microseconds since 1970, by the database's clock
    tag: TagName
    action: Literal["created", "moved", "deleted", "restored", "expired"]
    before: Target | None
    after: Target | None
    actor: Actor
    reason: str | None


@dataclass(frozen=True, slots=True)
class Pointing:
    """A tag name, and what it pointed to at a moment; None where it was not there."""

    tag: TagName
    target: Target | None


@dataclass(frozen=True, slots=True)
class Incarnation:
    """A repository that has or had a name: one that is deleted gives its name back, and keeps its history."""

    id: int
    created_at: int
    deleted: bool


_COLUMNS = """
       moves.id, events.at, moves.name, moves.action,
       moves.before, old.id, old_trash.goes_at, moves.after, new.id, new_trash.goes_at, gone.goes_at,
       events.actor, events.credential, events.address, events.agent, events.request_id, events.reason
"""
_JOINS = """
  LEFT JOIN events ON events.id = moves.event_id
  LEFT JOIN repositories ON repositories.id = moves.repository_id
  LEFT JOIN trash AS gone ON gone.id = repositories.trash_id
  LEFT JOIN manifests AS old ON old.repository_id = moves.repository_id AND old.digest = moves.before
  LEFT JOIN trash AS old_trash ON old_trash.id = old.trash_id
  LEFT JOIN manifests AS new ON new.repository_id = moves.repository_id AND new.digest = moves.after
  LEFT JOIN trash AS new_trash ON new_trash.id = new.trash_id
"""


def _entry(row: Row) -> Entry:
    identity, at, tag, action, before, old, old_goes, after, new, new_goes, all_goes, *who, reason = row
    return Entry(
        identity,
        at,
        TagName(tag),
        action,
        _target(before, old, old_goes, all_goes),
        _target(after, new, new_goes, all_goes),
        Actor(*who),
        reason,
    )


def _target(digest: str | None, manifest_id: int | None, *goes_at: int | None) -> Target | None:
    """`goes_at`: of the manifest, and of its repository."""
    if digest is None:
        return None
    if manifest_id is None:
        return Target(Digest(digest), Bytes("gone"))
    until = min((at for at in goes_at if at is not None), default=None)
    return Target(Digest(digest), Bytes("kept" if until is None else "trash", until))


# PostgreSQL takes the index that is in the order of ids alone for the cheapest way to a few of the latest, and walks it
# past the entries of everything else. Where rows are compared as wholes, no other index than theirs gives that order.
_OF_REPOSITORY = """
(/*! TRUE OR */ repository_id = :repository_id AND id < :before)
/*! AND (repository_id, id) < (:repository_id, :before) AND repository_id >= :repository_id */
"""
_OF_TAG = """
(/*! TRUE OR */ repository_id = :repository_id AND name = :tag AND id < :before)
/*! AND (repository_id, name, id) < (:repository_id, :tag, :before)
    AND (repository_id, name) >= (:repository_id, :tag) */
"""


async def of_repository(tx: Transaction, repository_id: int, *, before: int, limit: int) -> list[Entry]:
    """Up to `limit` entries of all tags with smaller ids than `before`, the latest first."""
    rows = await tx.fetch_all(
        f"""
        SELECT {_COLUMNS}
          FROM (SELECT * FROM tag_history WHERE {_OF_REPOSITORY}
                 ORDER BY /*! repository_id DESC, */ id DESC LIMIT :limit) AS moves {_JOINS}
         ORDER BY moves.id DESC
        """,
        repository_id=repository_id,
        before=before,
        limit=limit,
    )
    return [_entry(row) for row in rows]


async def of_tag(tx: Transaction, repository_id: int, tag: TagName, *, before: int, limit: int) -> list[Entry]:
    """Up to `limit` entries of one tag with smaller ids than `before`, the latest first."""
    rows = await tx.fetch_all(
        f"""
        SELECT {_COLUMNS}
          FROM (SELECT * FROM tag_history WHERE {_OF_TAG}
                 ORDER BY /*! repository_id DESC, name DESC, */ id DESC LIMIT :limit) AS moves {_JOINS}
         ORDER BY moves.id DESC
        """,
        repository_id=repository_id,
        tag=tag,
        before=before,
        limit=limit,
    )
    return [_entry(row) for row in rows]


async def last(tx: Transaction, repository_id: int, *, before: int) -> tuple[int, int] | None:
    """Id and time of the last entry with a smaller id than `before`."""
    row = await tx.fetch_one(
        f"""
        SELECT moves.id, events.at
          FROM (SELECT id, event_id FROM tag_history WHERE {_OF_REPOSITORY}
                 ORDER BY /*! repository_id DESC, */ id DESC LIMIT 1) AS moves
          JOIN events ON events.id = moves.event_id
        """,
        repository_id=repository_id,
        before=before,
    )
    return (row[0], row[1]) if row else None


# The last entry says where the tag pointed; that bytes expired later is no move.
_LAST = """
       (SELECT id FROM tag_history
         WHERE (/*! TRUE OR */ repository_id = :repository_id AND name = names.name AND id <= :history_id)
           /*! AND (repository_id, name, id) <= (:repository_id, names.name, :history_id)
               AND (repository_id, name) >= (:repository_id, names.name) */
           AND action <> 'expired'
         ORDER BY /*! repository_id DESC, name DESC, */ id DESC LIMIT 1)
"""
_THEN = f"""
SELECT names.name, moves.after, new.id, new_trash.goes_at, gone.goes_at
  FROM names
  LEFT JOIN tag_history AS moves ON moves.id = {_LAST}
  LEFT JOIN repositories ON repositories.id = moves.repository_id
  LEFT JOIN trash AS gone ON gone.id = repositories.trash_id
  LEFT JOIN manifests AS new ON new.repository_id = moves.repository_id AND new.digest = moves.after
  LEFT JOIN trash AS new_trash ON new_trash.id = new.trash_id
 WHERE names.name IS NOT NULL
 ORDER BY names.name
"""


async def tags_at(tx: Transaction, repository_id: int, history_id: int, *, after: str, limit: int) -> list[Pointing]:
    """Up to `limit` of all names that a tag ever had, past `after` in order, as they were after an entry.

    It steps from name to name by the index, however many entries each has.
    """
    rows = await tx.fetch_all(
        f"""
        WITH RECURSIVE names (name, place) AS (
            SELECT (SELECT min(name) FROM tag_history WHERE repository_id = :repository_id AND name > :after), 1
             UNION ALL
            SELECT (SELECT min(name) FROM tag_history
                     WHERE repository_id = :repository_id AND tag_history.name > names.name), place + 1
              FROM names WHERE names.name IS NOT NULL AND place < :limit
        )
        {_THEN}
        """,
        repository_id=repository_id,
        history_id=history_id,
        after=after,
        limit=limit,
    )
    return [_pointing(row) for row in rows]


async def tag_at(tx: Transaction, repository_id: int, history_id: int, tag: TagName) -> Pointing:
    """One tag as it was after an entry."""
    parameters: dict[str, Value] = {"repository_id": repository_id, "history_id": history_id, "tag": tag}
    row = await tx.fetch_one(f"WITH names (name) AS (SELECT CAST(:tag AS TEXT)) {_THEN}", **parameters)
    return _pointing(row) if row else Pointing(tag, None)


def _pointing(row: Row) -> Pointing:
    tag, digest, manifest_id, *goes_at = row
    return Pointing(TagName(tag), _target(digest, manifest_id, *goes_at))


# A deleted repository is called `<name>@<its id>`; "A" is what comes after "@".
_NAMED = "(repositories.name = :name OR (repositories.name > :first AND repositories.name < :past))"


def _named(name: RepositoryName) -> dict[str, Value]:
    return {"name": name, "first": f"{name}@", "past": f"{name}A"}


async def incarnations(tx: Transaction, name: RepositoryName, *, limit: int) -> list[Incarnation]:
    """The repositories of a name: the one that has it now, then the others, the one deleted last first."""
    rows = await tx.fetch_all(
        f"""
        SELECT id, created_at, name <> :name FROM repositories WHERE {_NAMED}
         ORDER BY name <> :name, coalesce((SELECT max(events.id) FROM events
                                  WHERE events.repository_id = repositories.id
                                    AND events.action IN ('repository.deleted', 'repository.restored')), 0) DESC,
                  id DESC
         LIMIT :limit
        """,
        **_named(name),
        limit=limit,
    )
    return [Incarnation(identity, created_at, bool(deleted)) for identity, created_at, deleted in rows]


async def incarnation(tx: Transaction, name: RepositoryName, repository_id: int) -> Incarnation | None:
    """The repository of an id, where it has or had this name."""
    row = await tx.fetch_one(
        f"SELECT id, created_at, name <> :name FROM repositories WHERE id = :id AND {_NAMED}",
        **_named(name),
        id=repository_id,
    )
    return Incarnation(row[0], row[1], bool(row[2])) if row else None


async def incarnation_at(tx: Transaction, name: RepositoryName, moment: int) -> Incarnation | None:
    """The repository that had a name at a moment."""
    row = await tx.fetch_one(
        f"""
        SELECT id, created_at, name <> :name FROM repositories
         WHERE {_NAMED} AND created_at <= :moment
           AND coalesce((SELECT action FROM events
                          WHERE events.repository_id = repositories.id AND at <= :moment
                            AND action IN ('repository.deleted', 'repository.restored')
                          ORDER BY events.id DESC LIMIT 1), '') <> 'repository.deleted'
         ORDER BY id DESC LIMIT 1
        """,
        **_named(name),
        moment=moment,
    )
    return Incarnation(row[0], row[1], bool(row[2])) if row else None
