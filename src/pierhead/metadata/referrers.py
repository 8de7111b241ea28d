"""Rows of referrers: the manifests of a repository whose subject is a given digest."""

from dataclasses import dataclass

from pierhead.metadata.database import Transaction
from pierhead.models import Digest, Manifest, RepositoryName


@dataclass(frozen=True, slots=True)
class Referrer:
    manifest: Manifest
    artifact_type: str | None
    annotations: str | None  # JSON


async def after(
    tx: Transaction,
    repository: RepositoryName,
    subject: Digest,
    position: str,
    *,
    artifact_type: str | None,
    limit: int,
) -> list[Referrer]:
    """Up to `limit` referrers whose digest is past `position`, in the order of their digests."""
    rows = await tx.fetch_all(
        """
        SELECT manifests.digest, manifests.media_type, manifests.size, manifests.artifact_type, manifests.annotations
          FROM repositories
          JOIN manifests ON manifests.repository_id = repositories.id
         WHERE repositories.name = :repository
           AND manifests.subject = :subject
           AND manifests.digest > :position
           AND manifests.trash_id IS NULL
           AND (CAST(:artifact_type AS TEXT) IS NULL OR manifests.artifact_type = :artifact_type)
         ORDER BY manifests.digest
         LIMIT :limit
        """,
        repository=repository,
        subject=subject,
        position=position,
        artifact_type=artifact_type,
        limit=limit,
    )
    return [Referrer(Manifest(Digest(row[0]), row[1], row[2]), row[3], row[4]) for row in rows]


async def names(tx: Transaction, repository: RepositoryName, subject: Digest, digest: Digest) -> bool:
    """Whether this manifest of the repository names that subject."""
    row = await tx.fetch_one(
        """
        SELECT 1
          FROM repositories
          JOIN manifests ON manifests.repository_id = repositories.id
         WHERE repositories.name = :repository
           AND manifests.subject = :subject
           AND manifests.digest = :digest
           AND manifests.trash_id IS NULL
        """,
        repository=repository,
        subject=subject,
        digest=digest,
    )
    return row is not None
