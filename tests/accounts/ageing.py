"""Keys that are older than they are: tests cannot wait for a month."""

from pierhead.metadata.database import Database, Transaction

HOUR = 3600
DAY = 24 * HOUR


async def age(database: Database, seconds: float) -> None:
    """Lets all keys be made, sign and end so much earlier."""

    async def shift(tx: Transaction) -> None:
        await tx.execute(
            """
            UPDATE signing_keys
               SET made_at = made_at - CAST(:by AS BIGINT), signs_from = signs_from - CAST(:by AS BIGINT),
                   ends_at = ends_at - CAST(:by AS BIGINT)
            """,
            by=int(seconds * 1_000_000),
        )

    await database.write(shift)
