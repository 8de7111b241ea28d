"""Rows of tags and of their history."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pierhead.metadata.database import Transaction, Value
from pierhead.models import Digest, RepositoryName, TagName


@dataclass(frozen=True, slots=True)
class Move:
    """A move of a tag; `before` and `after` are None where it did not or does not exist."""

    repository_id: int
    name: TagName
    action: Literal["created", "moved", "deleted", "restored", "expired"]
    before: Digest | None
    after: Digest | None
    event_id: int


async def names_after(tx: Transaction, repository: RepositoryName, after: str, *, limit: int) -> list[TagName] | None:
    """Up to `limit` tag names past `after`, in order; None where the repository is unknown."""
    rows = await tx.fetch_all(
        """
        SELECT tags.name
          FROM repositories
          LEFT JOIN tags ON tags.repository_id = repositories.id AND tags.name > :after
         WHERE repositories.name = :repository
         ORDER BY tags.name
         LIMIT :limit
        """,
        repository=repository,
        after=after,
        limit=limit,
    )
    if not rows:
        return None
    return [TagName(name) for (name,) in rows if name is not None]


async def target(tx: Transaction, repository_id: int, name: TagName) -> Digest | None:
    """The digest that a tag points to."""
    row = await tx.fetch_one(
        """
        SELECT manifests.digest
          FROM tags JOIN manifests ON manifests.id = tags.manifest_id
         WHERE tags.repository_id = :repository_id AND tags.name = :name
        """,
        repository_id=repository_id,
        name=name,
    )
    return Digest(row[0]) if row else None


async def of_manifest(tx: Transaction, manifest_id: int) -> list[TagName]:
    rows = await tx.fetch_all("SELECT name FROM tags WHERE manifest_id = :manifest_id", manifest_id=manifest_id)
    return [TagName(name) for (name,) in rows]


async def point(tx: Transaction, repository_id: int, name: TagName, manifest_id: int) -> None:
    """Points a tag to a manifest that is not in the trash."""
    await tx.execute(
        """
        INSERT INTO tags (repository_id, name, manifest_id, moved_at)
        VALUES (:repository_id, :name, :manifest_id, clock_us())
            ON CONFLICT (repository_id, name)
            DO UPDATE SET manifest_id = excluded.manifest_id, moved_at = excluded.moved_at
        """,
        repository_id=repository_id,
        name=name,
        manifest_id=manifest_id,
    )


async def tagged(tx: Transaction, manifest_id: int) -> None:
    """A tag points to a manifest that may have had none."""
    await tx.execute(
        "UPDATE manifests SET untagged_at = NULL WHERE id = :id AND untagged_at IS NOT NULL", id=manifest_id
    )


async def left(tx: Transaction, repository_id: int, digest: Digest) -> None:
    """A tag points no more to a manifest, which may have none left."""
    if await _untag(tx, repository_id, digest):
        return
    # Whoever takes its other tag away at this moment sees this one, as this one sees that: the later one looks again.
    await tx.fetch_one(
        """
        SELECT 1 FROM manifests
         WHERE repository_id = :repository_id AND digest = :digest /*! FOR NO KEY UPDATE */
        """,
        repository_id=repository_id,
        digest=digest,
    )
    await _untag(tx, repository_id, digest)


async def _untag(tx: Transaction, repository_id: int, digest: Digest) -> bool:
    changed = await tx.execute(
        """
        UPDATE manifests SET untagged_at = clock_us()
         WHERE repository_id = :repository_id AND digest = :digest
           AND NOT EXISTS (SELECT 1 FROM tags WHERE tags.manifest_id = manifests.id)
        """,
        repository_id=repository_id,
        digest=digest,
    )
    return changed > 0


async def remove(tx: Transaction, repository_id: int, name: TagName) -> None:
    await tx.execute(
        "DELETE FROM tags WHERE repository_id = :repository_id AND name = :name", repository_id=repository_id, name=name
    )


async def remember(tx: Transaction, move: Move) -> None:
    """Writes a move down for ever."""
    await tx.execute(_REMEMBER, **_columns(move))


async def remember_all(tx: Transaction, moves: Iterable[Move]) -> None:
    await tx.execute_many(_REMEMBER, map(_columns, moves))


_REMEMBER = """
INSERT INTO tag_history (repository_id, name, action, before, after, event_id)
VALUES (:repository_id, :name, :action, :before, :after, :event_id)
"""


def _columns(move: Move) -> dict[str, Value]:
    return {
        "repository_id": move.repository_id,
        "name": move.name,
        "action": move.action,
        "before": move.before,
        "after": move.after,
        "event_id": move.event_id,
    }


async def pointed_to(tx: Transaction, repository_id: int, name: TagName, digest: Digest) -> bool:
    """Whether a tag ever pointed to a digest."""
    row = await tx.fetch_one(
        "SELECT 1 FROM tag_history WHERE repository_id = :repository_id AND name = :name AND after = :digest LIMIT 1",
        repository_id=repository_id,
        name=name,
        digest=digest,
    )
    return row is not None


async def previous(tx: Transaction, repository_id: int, name: TagName, current: Digest | None) -> Digest | None:
    """What a tag pointed to before it pointed where it does."""
    row = await tx.fetch_one(
        """
        SELECT after FROM tag_history
         WHERE repository_id = :repository_id AND name = :name AND after IS NOT NULL
           AND (CAST(:current AS TEXT) IS NULL OR after <> :current)
         ORDER BY id DESC LIMIT 1
        """,
        repository_id=repository_id,
        name=name,
        current=current,
    )
    return Digest(row[0]) if row else None


async def last_expired(tx: Transaction, repository_id: int, name: TagName) -> int | None:
    """When the bytes of a tag that was deleted went for good, microseconds since 1970."""
    row = await tx.fetch_one(
        """
        SELECT max(events.at) FROM tag_history JOIN events ON events.id = tag_history.event_id
         WHERE tag_history.repository_id = :repository_id AND tag_history.name = :name
           AND tag_history.action = 'expired'
        """,
        repository_id=repository_id,
        name=name,
    )
    return row[0] if row else None
