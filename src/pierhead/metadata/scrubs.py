"""The row of whoever reads all blobs again, slowly: how far it is, and how the last whole cycle ended."""

from dataclasses import dataclass

from pierhead.metadata.database import Row, Transaction

_NAME = "blobs"
_COLUMNS = """
    began_at, reached, blobs, bytes, damaged, looked_at, whole_at, whole_blobs, whole_bytes, whole_damaged
"""


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """How far it is. Times are microseconds since 1970."""

    began_at: int  # of this cycle
    reached: str  # digits of the last digest that was looked at
    blobs: int
    bytes: int
    damaged: int
    looked_at: int | None
    whole_at: int | None  # when the last whole cycle ended; None before the first
    whole_blobs: int | None
    whole_bytes: int | None
    whole_damaged: int | None


@dataclass(frozen=True, slots=True)
class Portion:
    """What was looked at in one go, up to a digest."""

    reached: str
    blobs: int
    bytes: int
    damaged: int


def _scrubbed(row: Row) -> Scrubbed:
    return Scrubbed(*row)


async def find(tx: Transaction) -> Scrubbed | None:
    row = await tx.fetch_one(f"SELECT {_COLUMNS} FROM scrubs WHERE name = :name", name=_NAME)
    return _scrubbed(row) if row else None


async def begin(tx: Transaction) -> None:
    """Begins the first cycle; harmless where it began already."""
    await tx.execute(
        """
        INSERT INTO scrubs (name, began_at, reached, blobs, bytes, damaged) VALUES (:name, clock_us(), '', 0, 0, 0)
            ON CONFLICT (name) DO NOTHING
        """,
        name=_NAME,
    )


async def advance(tx: Transaction, before: Scrubbed, portion: Portion) -> bool:
    """Goes on from where it stood; False where somebody else did meanwhile."""
    changed = await tx.execute(
        """
        UPDATE scrubs
           SET reached = :reached, blobs = blobs + CAST(:blobs AS BIGINT), bytes = bytes + CAST(:bytes AS BIGINT),
               damaged = damaged + CAST(:damaged AS BIGINT), looked_at = clock_us()
         WHERE name = :name AND began_at = :began_at AND reached = :stood
        """,
        name=_NAME,
        began_at=before.began_at,
        stood=before.reached,
        reached=portion.reached,
        blobs=portion.blobs,
        bytes=portion.bytes,
        damaged=portion.damaged,
    )
    return changed > 0


async def begin_anew(tx: Transaction, before: Scrubbed) -> bool:
    """Ends a whole cycle, and begins the next one; False where somebody else did."""
    changed = await tx.execute(
        """
        UPDATE scrubs
           SET whole_at = clock_us(), whole_blobs = blobs, whole_bytes = bytes, whole_damaged = damaged,
               began_at = clock_us(), reached = '', blobs = 0, bytes = 0, damaged = 0
         WHERE name = :name AND began_at = :began_at AND reached = :stood
        """,
        name=_NAME,
        began_at=before.began_at,
        stood=before.reached,
    )
    return changed > 0
