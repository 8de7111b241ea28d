"""Rows of marks that a store of objects is still to be given."""

from collections.abc import Sequence

from pierhead.metadata.database import Transaction
from pierhead.models import Digest, Mark


async def owe(tx: Transaction, mark: Mark) -> None:
    await tx.execute(
        """
        INSERT INTO owed_marks (key, digest, owed_at) VALUES (:key, :digest, clock_us())
            ON CONFLICT (key) DO NOTHING
        """,
        key=mark.key,
        digest=mark.digest,
    )


async def owed(tx: Transaction, *, age: int, limit: int) -> list[Mark]:
    """Some that were owed for so many microseconds, the oldest first; none for bytes that are about to go."""
    rows = await tx.fetch_all(
        """
        SELECT digest, key FROM owed_marks
         WHERE owed_at < clock_us() - CAST(:age AS BIGINT)
           AND NOT EXISTS (SELECT 1 FROM doomed_keys WHERE doomed_keys.key = owed_marks.key)
         ORDER BY owed_at LIMIT :limit
        """,
        age=age,
        limit=limit,
    )
    return [Mark(Digest(digest), key) for digest, key in rows]


async def settle(tx: Transaction, made: Sequence[Mark]) -> None:
    await tx.execute_many("DELETE FROM owed_marks WHERE key = :key", [{"key": mark.key} for mark in made])
