"""Rows about bytes that no row names: removing some so that nobody can name them afterwards."""

from pierhead.metadata.database import Transaction
from pierhead.models import Digest


async def is_removed(tx: Transaction, key: str) -> bool:
    """Whether the bytes of a key were removed because nothing named it. The key is locked."""
    return await tx.fetch_one("SELECT 1 FROM removed_keys WHERE key = :key", key=key) is not None


async def remove(tx: Transaction, key: str, digest: Digest | None) -> None:
    """Nobody may name a key any more, and its bytes go; the digest is what the store knows them by.

    The key is locked, and nothing names it.
    """
    await tx.execute(
        "INSERT INTO removed_keys (key, removed_at) VALUES (:key, clock_us()) ON CONFLICT (key) DO NOTHING", key=key
    )
    await tx.execute(
        """
        INSERT INTO doomed_keys (key, digest, doomed_at) VALUES (:key, :digest, clock_us())
            ON CONFLICT (key) DO NOTHING
        """,
        key=key,
        digest=digest,
    )


async def forget(tx: Transaction, key: str) -> None:
    """Its bytes are gone. That nobody may name it stays."""
    await tx.execute("DELETE FROM doomed_keys WHERE key = :key", key=key)
