"""Rows of blobs, and of which repository holds which."""

from collections.abc import Iterable

from pierhead.metadata.database import Transaction
from pierhead.metadata.portions import absent
from pierhead.models import Blob, Digest, RepositoryName, in_row


async def held(tx: Transaction, repository: RepositoryName, digest: Digest) -> Blob | None:
    """The blob, where this repository holds it."""
    row = await tx.fetch_one(
        """
        SELECT blobs.size, blobs.key
          FROM repositories
          JOIN repository_blobs ON repository_blobs.repository_id = repositories.id
          JOIN blobs ON blobs.digest = repository_blobs.digest
         WHERE repositories.name = :repository AND repository_blobs.digest = :digest AND blobs.damage IS NULL
        """,
        repository=repository,
        digest=digest,
    )
    return Blob(digest, *row) if row else None


async def holders(tx: Transaction, digest: Digest, *, limit: int) -> list[RepositoryName]:
    """Some repositories that hold a blob."""
    rows = await tx.fetch_all(
        """
        SELECT repositories.name
          FROM repository_blobs JOIN repositories ON repositories.id = repository_blobs.repository_id
         WHERE repository_blobs.digest = :digest AND repositories.name NOT LIKE '%@%' -- none that was deleted
         LIMIT :limit
        """,
        digest=digest,
        limit=limit,
    )
    return [RepositoryName(name) for (name,) in rows]


async def stored(tx: Transaction, digest: Digest) -> Blob | None:
    """The blob, whoever holds it."""
    row = await tx.fetch_one("SELECT size, key, damage FROM blobs WHERE digest = :digest", digest=digest)
    return Blob(digest, *row) if row else None


async def content(tx: Transaction, digest: Digest) -> bytes | None:
    """The bytes of a blob that has them beside its row."""
    row = await tx.fetch_one("SELECT content FROM blob_contents WHERE digest = :digest", digest=digest)
    return row[0] if row else None


async def put(tx: Transaction, blob: Blob, *, content: bytes | None = None) -> None:
    """Adds a blob, or points its digest to other bytes, dooms those that it had and forgets what was wrong with them.

    `content` is given for one whose bytes shall be beside its row.
    """
    await tx.execute(
        """
        INSERT INTO doomed_keys (key, digest, doomed_at)
        SELECT key, digest, clock_us() FROM blobs WHERE digest = :digest AND key NOT IN (:in_row, :key)
            ON CONFLICT (key) DO NOTHING
        """,
        digest=blob.digest,
        key=blob.key,
        in_row=in_row(blob.digest),
    )
    await tx.execute(
        """
        INSERT INTO blobs (digest, size, key, created_at) VALUES (:digest, :size, :key, clock_us())
            ON CONFLICT (digest) DO UPDATE SET size = excluded.size, key = excluded.key, damage = NULL
        """,
        digest=blob.digest,
        size=blob.size,
        key=blob.key,
    )
    if content is not None:
        await tx.execute(
            """
            INSERT INTO blob_contents (digest, content) VALUES (:digest, :content)
                ON CONFLICT (digest) DO UPDATE SET content = excluded.content
            """,
            digest=blob.digest,
            content=content,
        )


async def hold(tx: Transaction, repository_id: int, digest: Digest) -> bool:
    """Lets a repository hold a blob; False where it did already."""
    added = await tx.execute(
        """
        INSERT INTO repository_blobs (repository_id, digest, created_at) VALUES (:repository_id, :digest, clock_us())
            ON CONFLICT (repository_id, digest) DO NOTHING
        """,
        repository_id=repository_id,
        digest=digest,
    )
    return added > 0


async def release(tx: Transaction, repository_id: int, digest: Digest) -> bool:
    """Lets a repository hold a blob no more; False where it did not."""
    removed = await tx.execute(
        "DELETE FROM repository_blobs WHERE repository_id = :repository_id AND digest = :digest",
        repository_id=repository_id,
        digest=digest,
    )
    return removed > 0


async def release_all(tx: Transaction, held: Iterable[tuple[int, Digest]]) -> None:
    """Lets repositories hold blobs no more, each the one that it is named with."""
    await tx.execute_many(
        "DELETE FROM repository_blobs WHERE repository_id = :repository_id AND digest = :digest",
        [{"repository_id": repository_id, "digest": digest} for repository_id, digest in held],
    )


async def remove(tx: Transaction, digests: Iterable[Digest]) -> None:
    """Removes blobs that nobody holds; what they have in the store was doomed before."""
    await tx.execute_many("DELETE FROM blobs WHERE digest = :digest", [{"digest": digest} for digest in digests])


async def missing(tx: Transaction, repository_id: int, digests: Iterable[Digest]) -> list[Digest]:
    """Which of these the repository does not hold, or only damaged."""
    sql = """
        SELECT digest FROM repository_blobs AS held
         WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = held.digest AND blobs.damage IS NOT NULL)
           AND repository_id = :repository_id AND digest IN ?"""
    return await absent(tx, sql, digests, repository_id=repository_id)
