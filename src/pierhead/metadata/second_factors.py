"""Rows of second factors, and of the codes for whoever lost theirs."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pierhead.metadata.database import Transaction


@dataclass(frozen=True, slots=True)
class SecondFactor:
    secret: bytes = field(repr=False)
    proven: bool


async def find(tx: Transaction, principal_id: int) -> SecondFactor | None:
    row = await tx.fetch_one("SELECT secret, proven_at FROM second_factors WHERE principal_id = :id", id=principal_id)
    return SecondFactor(bytes(row[0]), row[1] is not None) if row else None


async def begin(tx: Transaction, principal_id: int, secret: bytes) -> bool:
    """In place of one that was never proven; False where one was."""
    return bool(
        await tx.execute(
            """
            INSERT INTO second_factors (principal_id, secret, used_step) VALUES (:id, :secret, 0)
                ON CONFLICT (principal_id) DO UPDATE SET secret = excluded.secret, used_step = 0
             WHERE second_factors.proven_at IS NULL
            """,
            id=principal_id,
            secret=secret,
        )
    )


async def prove(tx: Transaction, principal_id: int) -> None:
    await tx.execute(
        "UPDATE second_factors SET proven_at = coalesce(proven_at, clock_us()) WHERE principal_id = :id",
        id=principal_id,
    )


async def use(tx: Transaction, principal_id: int, step: int) -> bool:
    """Takes a time step; False where that one, or a later one, was taken."""
    return bool(
        await tx.execute(
            "UPDATE second_factors SET used_step = :step WHERE principal_id = :id AND used_step < :step",
            id=principal_id,
            step=step,
        )
    )


async def remove(tx: Transaction, principal_id: int) -> bool:
    await tx.execute("DELETE FROM recovery_codes WHERE principal_id = :id", id=principal_id)
    return bool(await tx.execute("DELETE FROM second_factors WHERE principal_id = :id", id=principal_id))


async def put_codes(tx: Transaction, principal_id: int, hashed: Iterable[str]) -> None:
    """In place of all that there were."""
    await tx.execute("DELETE FROM recovery_codes WHERE principal_id = :id", id=principal_id)
    await tx.execute_many(
        "INSERT INTO recovery_codes (principal_id, hashed, made_at) VALUES (:id, :hashed, clock_us())",
        [{"id": principal_id, "hashed": one} for one in hashed],
    )


async def use_code(tx: Transaction, principal_id: int, hashed: str) -> bool:
    """A code is good once."""
    return bool(
        await tx.execute(
            "DELETE FROM recovery_codes WHERE principal_id = :id AND hashed = :hashed", id=principal_id, hashed=hashed
        )
    )


async def count_codes(tx: Transaction, principal_id: int) -> int:
    row = await tx.fetch_one("SELECT count(*) FROM recovery_codes WHERE principal_id = :id", id=principal_id)
    return row[0] if row else 0
