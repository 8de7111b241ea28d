"""Rows of blobs that no manifest of a repository needed when they were written: what the collector looks at.

Whoever makes a blob unreferenced writes its row in the same transaction; a blob without a row is never looked at.
`leased_until` is how long somebody may count on the blob who was told that it is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pierhead.metadata.database import Transaction
from pierhead.metadata.portions import among, of_pairs
from pierhead.models import Blob, Digest

# Whether a manifest of the repository needs a blob, one in the trash too. What only few manifests of all repositories
# need is looked for by its digest; of what many need (the empty configuration of artifacts), the manifests of the
# repository are asked.
_FEW = 64
_REFERENCED = f"""
    CASE WHEN (SELECT count(*) FROM (SELECT 1 FROM manifest_references
                                      WHERE manifest_references.digest = picked.digest LIMIT {_FEW}) AS few) < {_FEW}
    THEN EXISTS (SELECT 1 FROM manifest_references JOIN manifests ON manifests.id = manifest_references.manifest_id
                  WHERE manifest_references.digest = picked.digest
                    AND manifests.repository_id = picked.repository_id)
    ELSE EXISTS (SELECT 1 FROM manifests JOIN manifest_references ON manifest_references.manifest_id = manifests.id
                  WHERE manifests.repository_id = picked.repository_id
                    AND manifest_references.digest = picked.digest)
    END
"""


@dataclass(frozen=True, slots=True)
class Lease:
    """How long a client may take from a 2xx about a blob to the manifest that names it.

    Twice as long is written, so that it need not be written again before half of that is over.
    """

    seconds: float

    @property
    def promised(self) -> int:
        """Microseconds."""
        return int(self.seconds * 1_000_000)

    @property
    def granted(self) -> int:
        """Microseconds."""
        return 2 * self.promised


@dataclass(frozen=True, slots=True, order=True)
class Candidate:
    """A row whose blob may go, in the order in which they are looked at."""

    since: int  # microseconds since 1970
    repository_id: int
    digest: Digest

    @property
    def pair(self) -> tuple[int, Digest]:
        return self.repository_id, self.digest


FIRST = Candidate(0, 0, Digest())


async def note(tx: Transaction, repository_id: int, digest: Digest, *, lease: Lease) -> None:
    """A repository's blob may be unreferenced from now on; whoever asked for it lately has his lease."""
    await tx.execute(
        """
        INSERT INTO unreferenced_blobs (repository_id, digest, since, leased_until)
        VALUES (:repository_id, :digest, clock_us(), clock_us() + CAST(:granted AS BIGINT))
            ON CONFLICT (repository_id, digest)
            DO UPDATE SET since = excluded.since, leased_until = excluded.leased_until
        """,
        repository_id=repository_id,
        digest=digest,
        granted=lease.granted,
    )


async def note_parts(tx: Transaction, *manifest_ids: int, lease: Lease) -> None:
    """The same of all blobs that manifests refer to, which they are about to do no more."""
    await tx.execute_many(
        """
        INSERT INTO unreferenced_blobs (repository_id, digest, since, leased_until)
        SELECT manifests.repository_id, blobs.digest, clock_us(), clock_us() + CAST(:granted AS BIGINT)
          FROM manifest_references
          JOIN manifests ON manifests.id = manifest_references.manifest_id
          JOIN blobs ON blobs.digest = manifest_references.digest
         WHERE manifest_references.manifest_id = :manifest_id
            ON CONFLICT (repository_id, digest)
            DO UPDATE SET since = excluded.since, leased_until = excluded.leased_until
        """,
        [{"manifest_id": manifest_id, "granted": lease.granted} for manifest_id in manifest_ids],
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
        UPDATE unreferenced_blobs SET leased_until = clock_us() + CAST(:granted AS BIGINT)
         WHERE repository_id = :repository_id AND digest = :digest
           AND leased_until < clock_us() + CAST(:promised AS BIGINT)
        """,
        repository_id=repository_id,
        digest=digest,
        granted=lease.granted,
        promised=lease.promised,
    )


async def is_referenced(tx: Transaction, repository_id: int, digest: Digest) -> bool:
    """Whether a manifest of the repository needs a blob, one in the trash too."""
    rows = await of_pairs(tx, f"SELECT 1 FROM picked WHERE {_REFERENCED}", [(repository_id, digest)])
    return bool(rows)


async def page(tx: Transaction, after: Candidate, *, before: int, limit: int) -> list[tuple[Candidate, int]]:
    """Some past a row that were unreferenced before a moment, each with the end of its lease."""
    rows = await tx.fetch_all(
        """
        SELECT since, repository_id, digest, leased_until FROM unreferenced_blobs
         WHERE (since, repository_id, digest) > (:since, :repository_id, :digest) AND since <= :before
         ORDER BY since, repository_id, digest LIMIT :limit
        """,
        since=after.since,
        repository_id=after.repository_id,
        digest=after.digest,
        before=before,
        limit=limit,
    )
    return [(Candidate(since, repository_id, Digest(digest)), until) for since, repository_id, digest, until in rows]


async def oldest(tx: Transaction) -> int | None:
    """Since when the oldest row is there, leased or not."""
    row = await tx.fetch_one("SELECT min(since) FROM unreferenced_blobs")
    return row[0] if row else None


async def look(tx: Transaction, candidates: Sequence[Candidate], *, before: int, now: int) -> dict[Candidate, bool]:
    """Those that are due still, and whether a manifest of their repository needs them."""
    rows = await of_pairs(
        tx,
        f"""
        SELECT unreferenced_blobs.since, picked.repository_id, picked.digest, {_REFERENCED}
          FROM picked JOIN unreferenced_blobs ON unreferenced_blobs.repository_id = picked.repository_id
                                             AND unreferenced_blobs.digest = picked.digest
         WHERE unreferenced_blobs.since <= :before AND unreferenced_blobs.leased_until <= :now
        """,
        [one.pair for one in candidates],
        before=before,
        now=now,
    )
    return {Candidate(since, repository, Digest(digest)): bool(needed) for since, repository, digest, needed in rows}


async def drop(tx: Transaction, candidates: Sequence[Candidate]) -> None:
    await tx.execute_many(
        "DELETE FROM unreferenced_blobs WHERE repository_id = :repository_id AND digest = :digest",
        [{"repository_id": one.repository_id, "digest": one.digest} for one in candidates],
    )


async def nobodys(tx: Transaction, digests: Sequence[Digest]) -> list[Blob]:
    """Which of these no repository holds and no manifest anywhere refers to."""
    rows = await among(
        tx,
        """
        SELECT digest, size, key FROM blobs
         WHERE NOT EXISTS (SELECT 1 FROM repository_blobs WHERE repository_blobs.digest = blobs.digest)
           AND NOT EXISTS (SELECT 1 FROM manifest_references WHERE manifest_references.digest = blobs.digest)
           AND digest IN ?""",
        digests,
    )
    return [Blob(Digest(digest), size, key) for digest, size, key in rows]


async def going(tx: Transaction, digests: Sequence[Digest], *, before: int, now: int) -> list[Blob]:
    """Which of these are nobody's once every repository has let go of what it has to by then."""
    rows = await among(
        tx,
        """
        SELECT digest, size, key FROM blobs
         WHERE NOT EXISTS (SELECT 1 FROM manifest_references WHERE manifest_references.digest = blobs.digest)
           AND NOT EXISTS (SELECT 1 FROM repository_blobs AS held
                            WHERE held.digest = blobs.digest
                              AND NOT EXISTS (SELECT 1 FROM unreferenced_blobs AS noted
                                               WHERE noted.repository_id = held.repository_id
                                                 AND noted.digest = held.digest
                                                 AND noted.since <= :before AND noted.leased_until <= :now))
           AND digest IN ?""",
        digests,
        before=before,
        now=now,
    )
    return [Blob(Digest(digest), size, key) for digest, size, key in rows]


async def of_holders(tx: Transaction, digest: Digest, *, limit: int) -> list[Candidate]:
    """Rows of repositories that hold a blob, the last ones first."""
    rows = await tx.fetch_all(
        """
        SELECT noted.since, noted.repository_id
          FROM repository_blobs AS held JOIN unreferenced_blobs AS noted
            ON noted.repository_id = held.repository_id AND noted.digest = held.digest
         WHERE held.digest = :digest
         ORDER BY noted.since DESC, noted.repository_id DESC LIMIT :limit
        """,
        digest=digest,
        limit=limit,
    )
    return [Candidate(since, repository_id, digest) for since, repository_id in rows]
