"""Rows against rows: what one names and another one has to have, and what must be looked at by whoever collects.

What reads pages gives each page's rows with what they lack, so that no statement runs over a whole table.
"""

from dataclasses import dataclass

from pierhead.metadata.database import Transaction
from pierhead.models import Digest, RepositoryName


@dataclass(frozen=True, slots=True)
class Holding:
    """That a repository holds a blob."""

    repository_id: int
    repository: RepositoryName
    digest: Digest
    stored: bool  # whether the blob has a row
    seen: bool  # whether a manifest of the repository needs it, or it is on the list of those that none needs


@dataclass(frozen=True, slots=True)
class Kept:
    """A blob, and whether anything keeps it or will let it go."""

    digest: Digest
    seen: bool


@dataclass(frozen=True, slots=True)
class Reference:
    """That a manifest, not one in the trash, refers to what its repository does not have."""

    repository_id: int
    repository: RepositoryName
    manifest: Digest
    media_type: str
    part: Digest
    stored: bool  # whether there is such a blob all the same


async def holdings(tx: Transaction, after: tuple[int, str], *, limit: int) -> list[Holding]:
    rows = await tx.fetch_all(
        """
        SELECT held.repository_id, repositories.name, held.digest,
               EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = held.digest),
               EXISTS (SELECT 1 FROM manifest_references
                         JOIN manifests ON manifests.id = manifest_references.manifest_id
                        WHERE manifest_references.digest = held.digest
                          AND manifests.repository_id = held.repository_id)
               OR EXISTS (SELECT 1 FROM unreferenced_blobs AS listed
                           WHERE listed.repository_id = held.repository_id AND listed.digest = held.digest)
          FROM (SELECT repository_id, digest FROM repository_blobs
                 WHERE (repository_id, digest) > (:repository_id, :digest)
                 ORDER BY repository_id, digest LIMIT :limit) AS held
          JOIN repositories ON repositories.id = held.repository_id
         ORDER BY held.repository_id, held.digest
        """,
        repository_id=after[0],
        digest=after[1],
        limit=limit,
    )
    return [
        Holding(repository_id, RepositoryName(name), Digest(digest), bool(stored), bool(seen))
        for repository_id, name, digest, stored, seen in rows
    ]


async def blobs(tx: Transaction, after: str, *, limit: int) -> list[Kept]:
    rows = await tx.fetch_all(
        """
        SELECT digest,
               EXISTS (SELECT 1 FROM repository_blobs AS held WHERE held.digest = kept.digest)
               OR EXISTS (SELECT 1 FROM manifest_references AS needed WHERE needed.digest = kept.digest)
               OR EXISTS (SELECT 1 FROM unreferenced_blobs AS listed WHERE listed.digest = kept.digest)
          FROM (SELECT digest FROM blobs WHERE digest > :after ORDER BY digest LIMIT :limit) AS kept
         ORDER BY digest
        """,
        after=after,
        limit=limit,
    )
    return [Kept(Digest(digest), bool(seen)) for digest, seen in rows]


async def references(tx: Transaction, after: int, last: int) -> list[Reference]:
    """What manifests of these ids (past the first, up to the last) lack."""
    rows = await tx.fetch_all(
        """
        SELECT manifests.repository_id, repositories.name, manifests.digest, manifests.media_type, needed.digest,
               EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = needed.digest)
          FROM manifests
          JOIN manifest_references AS needed ON needed.manifest_id = manifests.id
          JOIN repositories ON repositories.id = manifests.repository_id
         WHERE manifests.id > :after AND manifests.id <= :last
           AND manifests.trash_id IS NULL AND repositories.trash_id IS NULL
           AND NOT EXISTS (SELECT 1 FROM repository_blobs AS held
                            WHERE held.repository_id = manifests.repository_id AND held.digest = needed.digest)
           AND NOT EXISTS (SELECT 1 FROM manifests AS part
                            WHERE part.repository_id = manifests.repository_id AND part.digest = needed.digest)
         ORDER BY manifests.id, needed.digest
        """,
        after=after,
        last=last,
    )
    return [
        Reference(repository_id, RepositoryName(name), Digest(manifest), media_type, Digest(part), bool(stored))
        for repository_id, name, manifest, media_type, part, stored in rows
    ]


async def last_manifest(tx: Transaction, after: int, *, limit: int) -> int | None:
    """The id with which a page of manifests ends; None where there are no more."""
    row = await tx.fetch_one(
        "SELECT max(id) FROM (SELECT id FROM manifests WHERE id > :after ORDER BY id LIMIT :limit) AS page",
        after=after,
        limit=limit,
    )
    return row[0] if row else None


async def without_content(tx: Transaction, after: int, last: int) -> list[tuple[Digest, RepositoryName]]:
    """Manifests of these ids whose bytes are nowhere."""
    rows = await tx.fetch_all(
        """
        SELECT manifests.digest, repositories.name
          FROM manifests JOIN repositories ON repositories.id = manifests.repository_id
         WHERE manifests.id > :after AND manifests.id <= :last
           AND NOT EXISTS (SELECT 1 FROM manifest_contents AS kept WHERE kept.digest = manifests.digest)
         ORDER BY manifests.id
        """,
        after=after,
        last=last,
    )
    return [(Digest(digest), RepositoryName(name)) for digest, name in rows]


async def is_manifest(tx: Transaction, digest: Digest) -> bool:
    """Whether some repository has such a manifest."""
    return await tx.fetch_one("SELECT 1 FROM manifests WHERE digest = :digest LIMIT 1", digest=digest) is not None


async def needs(tx: Transaction, repository_id: int, manifest: Digest, part: Digest) -> bool:
    """Whether a repository's manifest, not one in the trash, refers to a part."""
    row = await tx.fetch_one(
        """
        SELECT 1 FROM manifests JOIN manifest_references AS needed ON needed.manifest_id = manifests.id
         WHERE manifests.repository_id = :repository_id AND manifests.digest = :manifest
           AND manifests.trash_id IS NULL AND needed.digest = :part
        """,
        repository_id=repository_id,
        manifest=manifest,
        part=part,
    )
    return row is not None


async def any_repository(tx: Transaction) -> int | None:
    """The id of some repository."""
    row = await tx.fetch_one("SELECT min(id) FROM repositories")
    return row[0] if row else None
