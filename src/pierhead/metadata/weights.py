"""How much there is in an entry of the trash, and what would be free without it."""

from dataclasses import dataclass

from pierhead.metadata.database import Transaction

# The manifests of an entry: its own, or all of its repositories.
_MANIFESTS = """
SELECT id, digest, size FROM manifests WHERE trash_id = :trash_id
 UNION ALL
SELECT manifests.id, manifests.digest, manifests.size
  FROM repositories JOIN manifests ON manifests.repository_id = repositories.id
 WHERE repositories.trash_id = :trash_id
"""
# Whether what needs a blob, or has the same bytes, goes too.
_STAYS = """
coalesce({manifests}.trash_id, 0) <> :trash_id
AND NOT EXISTS (SELECT 1 FROM repositories WHERE repositories.id = {manifests}.repository_id
                                             AND repositories.trash_id = :trash_id)
"""


@dataclass(frozen=True, slots=True)
class Weight:
    """What an entry holds. `bytes` is what nothing else needs: manifests and blobs."""

    manifests: int
    tags: int
    bytes: int
    whole: bool = True  # otherwise there is more: it was counted up to a bound


async def of_entry(tx: Transaction, trash_id: int, *, most: int) -> Weight:
    """Counts up to `most` manifests, tags and blobs."""
    manifests, manifest_bytes = await _manifests(tx, trash_id, most)
    tags = await _tags(tx, trash_id, most)
    blobs, blob_bytes = await _blobs(tx, trash_id, most)
    return Weight(manifests, tags, manifest_bytes + blob_bytes, max(manifests, tags, blobs) < most)


async def _manifests(tx: Transaction, trash_id: int, most: int) -> tuple[int, int]:
    row = await tx.fetch_one(
        f"""
        SELECT count(*), CAST(coalesce(sum(CASE WHEN EXISTS (
                   SELECT 1 FROM manifests AS other
                    WHERE other.digest = going.digest AND {_STAYS.format(manifests="other")}) THEN 0 ELSE size END), 0)
               AS BIGINT)
          FROM (SELECT * FROM ({_MANIFESTS}) AS every LIMIT :most) AS going
        """,
        trash_id=trash_id,
        most=most,
    )
    return (row[0], row[1]) if row else (0, 0)


async def _tags(tx: Transaction, trash_id: int, most: int) -> int:
    row = await tx.fetch_one(
        """
        SELECT count(*) FROM (
            SELECT name FROM trash_tags WHERE trash_id = :trash_id
             UNION ALL
            SELECT tags.name FROM repositories JOIN tags ON tags.repository_id = repositories.id
             WHERE repositories.trash_id = :trash_id
             LIMIT :most) AS going
        """,
        trash_id=trash_id,
        most=most,
    )
    return row[0] if row else 0


async def _blobs(tx: Transaction, trash_id: int, most: int) -> tuple[int, int]:
    """Blobs that the manifests refer to, and the bytes of those that nobody else refers to or holds."""
    row = await tx.fetch_one(
        f"""
        SELECT count(*), CAST(coalesce(sum(CASE WHEN EXISTS (
                   SELECT 1 FROM manifest_references AS needed JOIN manifests AS other ON other.id = needed.manifest_id
                    WHERE needed.digest = going.digest AND {_STAYS.format(manifests="other")})
                 OR EXISTS (
                   SELECT 1 FROM repository_blobs AS held
                    WHERE held.digest = going.digest AND held.repository_id NOT IN (
                          SELECT repository_id FROM trash WHERE id = :trash_id AND repository_id IS NOT NULL
                           UNION SELECT id FROM repositories WHERE trash_id = :trash_id)) THEN 0 ELSE size END), 0)
               AS BIGINT)
          FROM (SELECT DISTINCT blobs.digest, blobs.size
                  FROM ({_MANIFESTS}) AS every
                  JOIN manifest_references ON manifest_references.manifest_id = every.id
                  JOIN blobs ON blobs.digest = manifest_references.digest
                 LIMIT :most) AS going
        """,
        trash_id=trash_id,
        most=most,
    )
    return (row[0], row[1]) if row else (0, 0)
