"""Rows of sessions: who is signed in to the pages, by the hash of what the browser holds."""

from dataclasses import dataclass

from pierhead.metadata.database import Row as Columns
from pierhead.metadata.database import Transaction


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a session lasts, in microseconds: unused, and at most."""

    idle: int
    whole: int


@dataclass(frozen=True, slots=True)
class Row:
    hashed: bytes
    principal_id: int
    name: str
    source: str
    proof: str
    made_at: int
    touched_at: int
    address: str
    agent: str
    stale: bool  # its use was not written down for a while


_TOUCHED_EVERY = 60_000_000  # microseconds
_SELECT = f"""
    SELECT hashed, principal_id, principals.name, source, proof, sessions.made_at, touched_at, address, agent,
           CASE WHEN touched_at + {_TOUCHED_EVERY} < clock_us() THEN 1 ELSE 0 END
      FROM sessions JOIN principals ON principals.id = principal_id
"""
_LIVE = """
    touched_at > clock_us() - CAST(:idle AS BIGINT) AND sessions.made_at > clock_us() - CAST(:whole AS BIGINT)
"""


async def add(tx: Transaction, hashed: bytes, principal_id: int, proof: str, *, address: str, agent: str) -> None:
    await tx.execute(
        """
        INSERT INTO sessions (hashed, principal_id, proof, made_at, touched_at, address, agent)
        VALUES (:hashed, :principal_id, :proof, clock_us(), clock_us(), :address, :agent)
        """,
        hashed=hashed,
        principal_id=principal_id,
        proof=proof,
        address=address,
        agent=agent,
    )


async def find(tx: Transaction, hashed: bytes, limits: Limits) -> Row | None:
    """None for one that has ended."""
    row = await tx.fetch_one(
        f"{_SELECT} WHERE hashed = :hashed AND {_LIVE}", hashed=hashed, idle=limits.idle, whole=limits.whole
    )
    return _row(row) if row else None


async def of(tx: Transaction, principal_id: int, limits: Limits) -> list[Row]:
    """Of one user, the one that was used last first."""
    rows = await tx.fetch_all(
        f"{_SELECT} WHERE principal_id = :id AND {_LIVE} ORDER BY touched_at DESC, hashed LIMIT 100",
        id=principal_id,
        idle=limits.idle,
        whole=limits.whole,
    )
    return [_row(row) for row in rows]


async def touch(tx: Transaction, hashed: bytes, address: str) -> None:
    await tx.execute(
        "UPDATE sessions SET touched_at = clock_us(), address = :address WHERE hashed = :hashed",
        hashed=hashed,
        address=address,
    )


async def end(tx: Transaction, hashed: bytes, principal_id: int) -> bool:
    """Of this user's; False where there is none such."""
    return bool(
        await tx.execute(
            "DELETE FROM sessions WHERE hashed = :hashed AND principal_id = :id", hashed=hashed, id=principal_id
        )
    )


async def end_others(tx: Transaction, hashed: bytes, principal_id: int) -> int:
    """All of a user's but one; how many these were."""
    return await tx.execute(
        "DELETE FROM sessions WHERE principal_id = :id AND hashed <> :hashed", hashed=hashed, id=principal_id
    )


async def sweep(tx: Transaction, limits: Limits) -> None:
    """Removes what was unused for too long. The index knows these: it costs nothing where there are none."""
    await tx.execute("DELETE FROM sessions WHERE touched_at <= clock_us() - CAST(:idle AS BIGINT)", idle=limits.idle)


def _row(row: Columns) -> Row:
    hashed, principal_id, name, source, proof, made_at, touched_at, address, agent, stale = row
    return Row(bytes(hashed), principal_id, name, source, proof, made_at, touched_at, address, agent, bool(stale))
