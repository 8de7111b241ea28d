"""Taking out of the rows what the trash is done with, some at a time. The bytes are the collector's business."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pierhead.metadata.database import Transaction
from pierhead.metadata.pins import IN_FORCE, Pin, pin
from pierhead.metadata.portions import among
from pierhead.models import Digest, TagName


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


async def still_in(tx: Transaction, portion: Sequence[Purged], *, trash_id: int, repository_id: int) -> list[Purged]:
    """Those that are still in an entry, or in a repository that is."""
    rows = await among(
        tx,
        """
        SELECT DISTINCT manifests.id, manifests.digest
          FROM manifests JOIN repositories ON repositories.id = manifests.repository_id
         WHERE manifests.id IN ? AND repositories.id = :repository_id
           AND (manifests.trash_id = :trash_id OR repositories.trash_id = :trash_id)
        """,
        [one.id for one in portion],
        trash_id=trash_id,
        repository_id=repository_id,
    )
    return [Purged(identity, Digest(digest)) for identity, digest in rows]


async def hand_over(tx: Transaction, repository_id: int, portion: Iterable[Purged], trash_id: int) -> None:
    """Gives those to another entry of the same repository that one of its manifests lists."""
    await tx.execute_many(
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
        [{"id": one.id, "digest": one.digest, "repository_id": repository_id, "trash_id": trash_id} for one in portion],
    )


async def take_tags(tx: Transaction, repository_id: int, portion: Sequence[Purged]) -> dict[int, list[TagName]]:
    """The tags whose last bytes go with manifests, by their ids; those that point to them still are removed."""
    ids = [one.id for one in portion]
    pointing = await among(tx, "SELECT DISTINCT manifest_id, name FROM tags WHERE manifest_id IN ?", ids)
    gone = await among(
        tx,
        """
        SELECT DISTINCT gone.manifest_id, gone.name FROM trash_tags AS gone
         WHERE gone.manifest_id IN ?
           AND NOT EXISTS (SELECT 1 FROM tags WHERE tags.repository_id = :repository_id AND tags.name = gone.name)
        """,
        ids,
        repository_id=repository_id,
    )
    if pointing:
        await tx.execute_many("DELETE FROM tags WHERE manifest_id = :id", [{"id": one} for one in ids])
    names: dict[int, list[TagName]] = {}
    for manifest_id, name in sorted({*pointing, *gone}):
        names.setdefault(manifest_id, []).append(TagName(name))
    return names


async def pin_in(tx: Transaction, trash_id: int) -> Pin | None:
    """A pin in force on a manifest of an entry, or in a repository of it; of several the one that ends last."""
    row = await tx.fetch_one(
        f"""
        SELECT pins.id, pins.tag, pins.digest, pins.reason, pins.actor, pins.made_at, pins.until
          FROM manifests
          JOIN pins ON pins.repository_id = manifests.repository_id AND pins.digest = manifests.digest
         WHERE manifests.trash_id = :trash_id AND {IN_FORCE}
         UNION ALL
        SELECT pins.id, pins.tag, pins.digest, pins.reason, pins.actor, pins.made_at, pins.until
          FROM repositories JOIN pins ON pins.repository_id = repositories.id
         WHERE repositories.trash_id = :trash_id AND {IN_FORCE}
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
