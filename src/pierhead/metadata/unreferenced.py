"""Rows of blobs that no manifest of a repository needed when they were written: what the collector looks at.

Whoever makes a blob unreferenced writes its row in the same transaction; a blob without a row is never looked at.
`leased_until` is how long somebody may count on the blob who was told that it is there.
"""

from dataclasses import dataclass

from pierhead.metadata.database import Transaction
from pierhead.models import Digest


@dataclass(frozen=True, slots=True)
class Lease:
    """How long a client may take from a 2xx about a blob to the manifest that names it."""

    seconds: float

    @property
    def microseconds(self) -> int:
        return int(self.seconds * 1_000_000)


async def note(tx: Transaction, repository_id: int, digest: Digest, *, lease: Lease) -> None:
    """A repository's blob may be unreferenced from now on; whoever asked for it lately has his lease."""
    await tx.execute(
        """
        INSERT INTO unreferenced_blobs (repository_id, digest, since, leased_until)
        VALUES (:repository_id, :digest, clock_us(), clock_us() + CAST(:lease AS BIGINT))
            ON CONFLICT (repository_id, digest)
            DO UPDATE SET since = excluded.since, leased_until = excluded.leased_until
        """,
        repository_id=repository_id,
        digest=digest,
        lease=lease.microseconds,
    )


async def note_parts(tx: Transaction, manifest_id: int, *, lease: Lease) -> None:
    """The same of all blobs that a manifest refers to, which it is about to do no more."""
    await tx.execute(
        """
        INSERT INTO unreferenced_blobs (repository_id, digest, since, leased_until)
        SELECT manifests.repository_id, blobs.digest, clock_us(), clock_us() + CAST(:lease AS BIGINT)
          FROM manifest_references
          JOIN manifests ON manifests.id = manifest_references.manifest_id
          JOIN blobs ON blobs.digest = manifest_references.digest
         WHERE manifest_references.manifest_id = :manifest_id
            ON CONFLICT (repository_id, digest)
            DO UPDATE SET since = excluded.since, leased_until = excluded.leased_until
        """,
        manifest_id=manifest_id,
        lease=lease.microseconds,
    )


async def leased_until(tx: Transaction, repository_id: int, digest: Digest) -> int | None:
    """Microseconds since 1970; None where the blob has no row, so that nobody looks whether it may go."""
    row = await tx.fetch_one(
        "SELECT leased_until FROM unreferenced_blobs WHERE repository_id = :repository_id AND digest = :digest",
        repository_id=repository_id,
        digest=digest,
    )
    return row[0] if row else None


async def renew(tx: Transaction, repository_id: int, digest: Digest, *, lease: Lease) -> None:
    """Leases a blob anew that has a row, where less than half is left. `since` stays: asking makes nothing younger."""
    await tx.execute(
        """
        UPDATE unreferenced_blobs SET leased_until = clock_us() + CAST(:lease AS BIGINT)
         WHERE repository_id = :repository_id AND digest = :digest
           AND leased_until < clock_us() + CAST(:half AS BIGINT)
        """,
        repository_id=repository_id,
        digest=digest,
        lease=lease.microseconds,
        half=lease.microseconds // 2,
    )


async def is_referenced(tx: Transaction, repository_id: int, digest: Digest) -> bool:
    """Whether a manifest of the repository needs a blob, one in the trash too."""
    row = await tx.fetch_one(
        """
        SELECT 1 FROM manifest_references JOIN manifests ON manifests.id = manifest_references.manifest_id
         WHERE manifest_references.digest = :digest AND manifests.repository_id = :repository_id
         LIMIT 1
        """,
        digest=digest,
        repository_id=repository_id,
    )
    return row is not None
