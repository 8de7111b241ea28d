"""Rows of keys whose bytes no row names any more, and which are still to be removed from the store."""

from collections.abc import Sequence

from pierhead.metadata.database import Transaction
from pierhead.models import Blob, Digest, Doomed


async def add(tx: Transaction, blobs: Sequence[Blob]) -> None:
    """Those of blobs whose rows go now. What is beside its row goes with it."""
    await tx.execute_many(
        """
        INSERT INTO doomed_keys (key, digest, doomed_at) VALUES (:key, :digest, clock_us())
            ON CONFLICT (key) DO NOTHING
        """,
        [{"key": blob.key, "digest": blob.digest} for blob in blobs if not blob.inline],
    )


async def page(tx: Transaction, after: str, *, limit: int) -> list[Doomed]:
    """Some past a key, in the order of the keys."""
    rows = await tx.fetch_all(
        "SELECT key, digest FROM doomed_keys WHERE key > :after ORDER BY key LIMIT :limit", after=after, limit=limit
    )
    return [Doomed(key, Digest(digest) if digest else None) for key, digest in rows]


async def count(tx: Transaction, *, limit: int) -> int:
    """How many there are, at most `limit`."""
    row = await tx.fetch_one("SELECT count(*) FROM (SELECT 1 FROM doomed_keys LIMIT :limit) AS counted", limit=limit)
    return row[0] if row else 0


async def settle(tx: Transaction, removed: Sequence[Doomed]) -> None:
    """Those whose bytes are removed. What was owed to them is owed no more."""
    keys = [{"key": one.key} for one in removed]
    await tx.execute_many("DELETE FROM owed_marks WHERE key = :key", keys)
    await tx.execute_many("DELETE FROM doomed_keys WHERE key = :key", keys)


async def take_all(tx: Transaction) -> list[Doomed]:
    """Forgets all; the caller removes their bytes."""
    rows = await tx.fetch_all("DELETE FROM doomed_keys RETURNING key, digest")
    return [Doomed(key, Digest(digest) if digest else None) for key, digest in rows]
