"""Rows of manifests that no tag points to, and that nothing else wants."""

from dataclasses import dataclass

from pierhead.metadata.database import Transaction
from pierhead.metadata.pins import IN_FORCE
from pierhead.models import Digest, RepositoryName


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ends."""

    at: int
    id: int


@dataclass(frozen=True, slots=True)
class Untagged:
    id: int
    repository: RepositoryName
    digest: Digest


@dataclass(frozen=True, slots=True)
class Page:
    unwanted: list[Untagged]
    last: Position | None  # None: there are no more


# What an index lists, what names a subject (which may come yet), and what is pinned, is wanted without a tag.
_UNWANTED = f"""
manifests.subject IS NULL
AND NOT EXISTS (SELECT 1 FROM tags WHERE tags.manifest_id = manifests.id)
AND NOT EXISTS (SELECT 1 FROM manifest_references AS listed JOIN manifests AS parent ON parent.id = listed.manifest_id
                 WHERE listed.digest = manifests.digest AND parent.repository_id = manifests.repository_id
                   AND parent.trash_id IS NULL)
AND NOT EXISTS (SELECT 1 FROM pins
                 WHERE pins.repository_id = manifests.repository_id AND pins.digest = manifests.digest
                   AND {IN_FORCE})
"""


async def any_old(tx: Transaction, *, age: int) -> bool:
    """Whether a manifest has been without a tag for so many microseconds."""
    row = await tx.fetch_one(
        """
        SELECT 1 FROM manifests
         WHERE untagged_at IS NOT NULL AND trash_id IS NULL AND untagged_at <= clock_us() - CAST(:age AS BIGINT)
         LIMIT 1
        """,
        age=age,
    )
    return row is not None


async def page(tx: Transaction, *, age: int, after: Position, limit: int) -> Page:
    """Looks at up to `limit` manifests that have been without a tag for so long, in the order of that."""
    rows = await tx.fetch_all(
        f"""
        SELECT manifests.id, manifests.untagged_at, repositories.name, manifests.digest,
               CASE WHEN repositories.trash_id IS NULL AND {_UNWANTED} THEN 1 ELSE 0 END
          FROM manifests JOIN repositories ON repositories.id = manifests.repository_id
         WHERE untagged_at IS NOT NULL AND manifests.trash_id IS NULL
           AND untagged_at <= clock_us() - CAST(:age AS BIGINT)
           AND (untagged_at, manifests.id) > (CAST(:at AS BIGINT), CAST(:id AS BIGINT))
         ORDER BY untagged_at, manifests.id LIMIT :limit
        """,
        age=age,
        at=after.at,
        id=after.id,
        limit=limit,
    )
    unwanted = [Untagged(row[0], RepositoryName(row[2]), Digest(row[3])) for row in rows if row[4]]
    return Page(unwanted, Position(rows[-1][1], rows[-1][0]) if len(rows) == limit else None)


async def is_unwanted(tx: Transaction, repository_id: int, manifest_id: int, *, age: int) -> bool:
    """Whether a manifest still is in this repository, without a tag for so long, and wanted by nothing."""
    row = await tx.fetch_one(
        f"""
        SELECT 1 FROM manifests
         WHERE id = :id AND repository_id = :repository_id AND trash_id IS NULL
           AND untagged_at <= clock_us() - CAST(:age AS BIGINT) AND {_UNWANTED}
        """,
        id=manifest_id,
        repository_id=repository_id,
        age=age,
    )
    return row is not None
