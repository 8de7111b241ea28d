"""Rows of a registry that is on its way: being filled, frozen for a moment, or moved for good."""

from typing import Literal

from pierhead.errors import ConfigurationError
from pierhead.metadata.database import Copyable, Transaction

State = Literal["filling", "frozen", "moved"]


async def place(tx: Transaction, state: State) -> str | None:
    """Where from, or where to; None where the registry is not in that state. A freeze that is over counts as none."""
    row = await tx.fetch_one(
        "SELECT place FROM moves WHERE state = :state AND (until IS NULL OR until > clock_us())", state=state
    )
    return row[0] if row else None


async def enter(tx: Transaction, state: State, place: str, *, seconds: float | None = None) -> None:
    """Puts the registry into a state, for so long or for good."""
    await tx.execute(
        """
        INSERT INTO moves (state, place, since, until)
        VALUES (:state, :place, clock_us(), clock_us() + CAST(:length AS BIGINT))
            ON CONFLICT (state) DO UPDATE SET place = excluded.place, since = excluded.since, until = excluded.until
        """,
        state=state,
        place=place,
        length=None if seconds is None else int(seconds * 1_000_000),
    )


async def leave(tx: Transaction, state: State) -> None:
    await tx.execute("DELETE FROM moves WHERE state = :state", state=state)


async def require_whole(database: Copyable) -> None:
    """Raises ConfigurationError where the registry has moved, or has not arrived yet."""
    async with database.snapshot() as tx:
        to, source = await place(tx, "moved"), await place(tx, "filling")
    if to is not None:
        raise ConfigurationError([f"this registry has moved to {to}; serve that one"])
    if source is not None:
        raise ConfigurationError([f"this registry is not whole: it is being filled from {source}; finish that first"])
