"""Rows of a registry's first start: the hash of the token that makes the first administrator, and whether one may."""

from pierhead.metadata.database import Transaction

_NAME = "setup"


async def offer(tx: Transaction, hashed: bytes) -> bool:
    """Instead of the token before; False where the registry has accounts."""
    if not await may(tx):
        return False
    await tx.execute(
        """
        INSERT INTO secrets (name, value) VALUES (:name, :value)
            ON CONFLICT (name) DO UPDATE SET value = excluded.value
        """,
        name=_NAME,
        value=hashed,
    )
    return True


async def is_offered(tx: Transaction, hashed: bytes) -> bool:
    row = await tx.fetch_one("SELECT 1 FROM secrets WHERE name = :name AND value = :value", name=_NAME, value=hashed)
    return row is not None and await may(tx)


async def take(tx: Transaction, hashed: bytes) -> bool:
    """Whoever takes the token first has it: nobody after."""
    taken = await tx.execute("DELETE FROM secrets WHERE name = :name AND value = :value", name=_NAME, value=hashed)
    return bool(taken) and await may(tx)


async def withdraw(tx: Transaction) -> None:
    await tx.execute("DELETE FROM secrets WHERE name = :name", name=_NAME)


async def may(tx: Transaction) -> bool:
    """Whether nobody has an account yet."""
    row = await tx.fetch_one(
        "SELECT 1 FROM access_epoch WHERE closed IS NULL AND NOT EXISTS (SELECT 1 FROM principals WHERE kind = 'user')"
    )
    return row is not None


async def has_users(tx: Transaction) -> bool:
    return await tx.fetch_one("SELECT 1 FROM principals WHERE kind = 'user' LIMIT 1") is not None
