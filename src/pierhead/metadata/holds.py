"""Rows of those who copy: while one holds, whoever collects garbage removes nothing."""

from pierhead.metadata.database import Transaction


async def take(tx: Transaction, name: str, *, seconds: int) -> None:
    """Holds for so long from now; who takes again what it has prolongs it."""
    await tx.execute(
        """
        INSERT INTO holds (name, taken_at, until)
        VALUES (:name, clock_us(), clock_us() + CAST(:length AS BIGINT))
            ON CONFLICT (name) DO UPDATE SET until = excluded.until
        """,
        name=name,
        length=seconds * 1_000_000,
    )


async def release(tx: Transaction, name: str) -> None:
    """Gives a hold back, and forgets those that are over."""
    await tx.execute("DELETE FROM holds WHERE name = :name OR until <= clock_us()", name=name)


async def held(tx: Transaction) -> bool:
    """Whether somebody copies. Asked in the very transaction that removes the rows of what is collected."""
    return await tx.fetch_one("SELECT 1 FROM holds WHERE until > clock_us() LIMIT 1") is not None
