"""Rows of tags and of their history."""

from dataclasses import dataclass
from typing import Literal

from pierhead.metadata.database import Transaction
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
    await tx.execute(
        """
        UPDATE manifests SET untagged_at = clock_us()
         WHERE repository_id = :repository_id AND digest = :digest
           AND NOT EXISTS (SELECT 1 FROM tags WHERE tags.manifest_id = manifests.id)
        """,
        repository_id=repository_id,
        digest=digest,
    )


async def remove(tx: Transaction, repository_id: int, name: TagName) -> None:
    await tx.execute(
        "DELETE FROM tags WHERE repository_id = :repository_id AND name = :name", repository_id=repository_id, name=name
    )


async def remember(tx: Transaction, move: Move) -> None:
    await tx.execute(
        """
        INSERT INTO tag_history (repository_id, name, action, before, after, event_id)
        VALUES (:repository_id, :name, :action, :before, :after, :event_id)
        """,
        repository_id=move.repository_id,
        name=move.name,
        action=move.action,
        before=move.before,
        after=move.after,
        event_id=move.event_id,
    )
