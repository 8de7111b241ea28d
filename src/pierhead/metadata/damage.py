"""What was found wrong with the bytes of blobs, in their rows.

Such a blob counts as not there until it is pushed again.
"""

from dataclasses import dataclass

from pierhead.metadata.database import Transaction
from pierhead.models import Blob, Digest


@dataclass(frozen=True, slots=True)
class Range:
    """Digests whose digits come after `after` and before `before`, whatever their algorithm."""

    after: str
    before: str


async def mark(tx: Transaction, blob: Blob, damage: str) -> bool:
    """Says what is wrong with the bytes under a blob's key; False where it has other bytes, or that is known."""
    changed = await tx.execute(
        "UPDATE blobs SET damage = :damage WHERE digest = :digest AND key = :key AND damage IS NULL",
        damage=damage,
        digest=blob.digest,
        key=blob.key,
    )
    return changed > 0


async def clear(tx: Transaction, blob: Blob) -> bool:
    """The bytes under a blob's key are sound after all; False where it has other bytes, or was not damaged."""
    changed = await tx.execute(
        "UPDATE blobs SET damage = NULL WHERE digest = :digest AND key = :key AND damage IS NOT NULL",
        digest=blob.digest,
        key=blob.key,
    )
    return changed > 0


async def count(tx: Transaction) -> int:
    row = await tx.fetch_one("SELECT count(*) FROM blobs WHERE damage IS NOT NULL")
    return row[0] if row else 0


async def page(tx: Transaction, after: str, *, limit: int) -> list[Blob]:
    """Some damaged blobs past a digest."""
    rows = await tx.fetch_all(
        """
        SELECT digest, size, key, damage FROM blobs
         WHERE damage IS NOT NULL AND digest > :after ORDER BY digest LIMIT :limit
        """,
        after=after,
        limit=limit,
    )
    return [Blob(Digest(digest), size, key, damage) for digest, size, key, damage in rows]


async def within(tx: Transaction, algorithm: str, span: Range, *, limit: int) -> list[Blob]:
    """Some blobs of an algorithm, in the order of their digits."""
    rows = await tx.fetch_all(
        """
        SELECT digest, size, key, damage FROM blobs
         WHERE digest > :after AND digest < :before ORDER BY digest LIMIT :limit
        """,
        after=f"{algorithm}:{span.after}",
        before=f"{algorithm}:{span.before}",
        limit=limit,
    )
    return [Blob(Digest(digest), size, key, damage) for digest, size, key, damage in rows]
