"""Rows of marks that a store of objects is still to be given."""

from collections.abc import Sequence

from pierhead.metadata.clock import now
from pierhead.metadata.database import Transaction
from pierhead.models import Digest, Mark


async def owe(tx: Transaction, mark: Mark) -> None:
    await tx.execute(
        """
        INSERT INTO owed_marks (key, digest, owed_at) VALUES (:key, :digest, :moment)
            ON CONFLICT (key) DO NOTHING
        """,
        key=mark.key,
        digest=mark.digest,
        moment=now(),
    )


async def owed(tx: Transaction, *, before: int, limit: int) -> list[Mark]:
    """Some that were owed before a moment, the oldest first."""
    rows = await tx.fetch_all(
        "SELECT digest, key FROM owed_marks WHERE owed_at < :before ORDER BY owed_at LIMIT :limit",
        before=before,
        limit=limit,
    )
    return [Mark(Digest(digest), key) for digest, key in rows]


async def settle(tx: Transaction, made: Sequence[Mark]) -> None:
    await tx.execute_many("DELETE FROM owed_marks WHERE key = :key", [{"key": mark.key} for mark in made])
