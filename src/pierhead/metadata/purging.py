"""Taking out of the rows what the trash is done with, some at a time. The bytes are the collector's business."""

from dataclasses import dataclass

from pierhead.metadata.database import Transaction
from pierhead.metadata.pins import Pin, pin
from pierhead.models import Digest, TagName

_UNENDED = "(pins.until IS NULL OR pins.until > clock_us())"


@dataclass(frozen=True, slots=True)
class Purged:
    id: int
    digest: Digest


async def next_of_entry(tx: Transaction, trash_id: int, *, limit: int) -> list[Purged]:
    """Some manifests of an entry that none of its others lists: what is left of it is whole at any time."""
    rows = await tx.fetch_all(
        """
        SELECT id, digest FROM manifests
         WHERE trash_id = :trash_id
           AND NOT EXISTS (SELECT 1 FROM manifest_references AS listed
                             JOIN manifests AS parent ON parent.id = listed.manifest_id
                            WHERE listed.digest = manifests.digest AND parent.trash_id = :trash_id)
         LIMIT :limit
        """,
        trash_id=trash_id,
        limit=limit,
    )
    return [Purged(identity, Digest(digest)) for identity, digest in rows]


async def next_of_repository(tx: Transaction, repository_id: int, *, limit: int) -> list[Purged]:
    rows = await tx.fetch_all(
        "SELECT id, digest FROM manifests WHERE repository_id = :repository_id LIMIT :limit",
        repository_id=repository_id,
        limit=limit,
    )
    return [Purged(identity, Digest(digest)) for identity, digest in rows]


async def is_in(tx: Transaction, manifest_id: int, *, trash_id: int, repository_id: int) -> bool:
    """Whether a manifest is still in an entry, or in a repository that is."""
    row = await tx.fetch_one(
        """
        SELECT 1 FROM manifests JOIN repositories ON repositories.id = manifests.repository_id
         WHERE manifests.id = :id AND repositories.id = :repository_id
           AND (manifests.trash_id = :trash_id OR repositories.trash_id = :trash_id)
        """,
        id=manifest_id,
        trash_id=trash_id,
        repository_id=repository_id,
    )
    return row is not None


async def hand_over(tx: Transaction, repository_id: int, manifest: Purged, trash_id: int) -> bool:
    """Gives a manifest to another entry of the same repository, one of whose manifests lists it."""
    given = await tx.execute(
        """
        UPDATE manifests SET trash_id = (
            SELECT max(parent.trash_id)
              FROM manifest_references AS listed JOIN manifests AS parent ON parent.id = listed.manifest_id
             WHERE listed.digest = :digest AND parent.repository_id = :repository_id AND parent.trash_id <> :trash_id)
         WHERE id = :id
           AND EXISTS (
            SELECT 1
              FROM manifest_references AS listed JOIN manifests AS parent ON parent.id = listed.manifest_id
             WHERE listed.digest = :digest AND parent.repository_id = :repository_id AND parent.trash_id <> :trash_id)
        """,
        id=manifest.id,
        digest=manifest.digest,
        repository_id=repository_id,
        trash_id=trash_id,
    )
    return given > 0


async def tags_of(tx: Transaction, repository_id: int, manifest_id: int) -> list[TagName]:
    """The tags whose last bytes go with a manifest: those that point to it, or did until they were deleted."""
    rows = await tx.fetch_all(
        """
        SELECT name FROM tags WHERE manifest_id = :manifest_id
         UNION
        SELECT gone.name FROM trash_tags AS gone
         WHERE gone.manifest_id = :manifest_id
           AND NOT EXISTS (SELECT 1 FROM tags WHERE tags.repository_id = :repository_id AND tags.name = gone.name)
         ORDER BY name
        """,
        manifest_id=manifest_id,
        repository_id=repository_id,
    )
    return [TagName(name) for (name,) in rows]


async def remove_tags(tx: Transaction, manifest_id: int) -> None:
    await tx.execute("DELETE FROM tags WHERE manifest_id = :id", id=manifest_id)


async def pin_in(tx: Transaction, trash_id: int) -> Pin | None:
    """A pin in force on a manifest of an entry, or in a repository of it; of several the one that ends last."""
    row = await tx.fetch_one(
        f"""
        SELECT pins.id, pins.tag, pins.digest, pins.reason, pins.actor, pins.made_at, pins.until
          FROM manifests
          JOIN pins ON pins.repository_id = manifests.repository_id AND pins.digest = manifests.digest
         WHERE manifests.trash_id = :trash_id AND {_UNENDED}
         UNION ALL
        SELECT pins.id, pins.tag, pins.digest, pins.reason, pins.actor, pins.made_at, pins.until
          FROM repositories JOIN pins ON pins.repository_id = repositories.id
         WHERE repositories.trash_id = :trash_id AND {_UNENDED}
         LIMIT 1
        """,
        trash_id=trash_id,
    )
    return pin(row) if row else None


async def holds_manifests(tx: Transaction, trash_id: int) -> bool:
    return await tx.fetch_one("SELECT 1 FROM manifests WHERE trash_id = :id LIMIT 1", id=trash_id) is not None


async def remove_targetless(tx: Transaction, repository_id: int) -> None:
    """Ends the entries of tags whose manifests are gone."""
    await tx.execute(
        """
        DELETE FROM trash
         WHERE repository_id = :repository_id AND kind = 'tag'
           AND NOT EXISTS (SELECT 1 FROM trash_tags WHERE trash_tags.trash_id = trash.id)
        """,
        repository_id=repository_id,
    )


async def remove_others(tx: Transaction, repository_id: int, trash_id: int, *, limit: int) -> int:
    """Ends some other entries of a repository that has no manifests any more; returns how many."""
    return await tx.execute(
        """
        DELETE FROM trash
         WHERE id IN (SELECT id FROM trash WHERE repository_id = :repository_id AND id <> :trash_id LIMIT :limit)
        """,
        repository_id=repository_id,
        trash_id=trash_id,
        limit=limit,
    )


async def note_holds(tx: Transaction, repository_id: int, after: str, *, limit: int) -> str | None:
    """Has the collector look at some blobs that a repository holds; returns the last one's digest, None at the end."""
    rows = await tx.fetch_all(
        """
        SELECT digest FROM repository_blobs
         WHERE repository_id = :id AND digest > :after ORDER BY digest LIMIT :limit
        """,
        id=repository_id,
        after=after,
        limit=limit,
    )
    await tx.execute_many(
        """
        INSERT INTO unreferenced_blobs (repository_id, digest, since, leased_until)
        VALUES (:id, :digest, clock_us(), clock_us()) ON CONFLICT (repository_id, digest) DO NOTHING
        """,
        [{"id": repository_id, "digest": digest} for (digest,) in rows],
    )
    return rows[-1][0] if len(rows) == limit else None
