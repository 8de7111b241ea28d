"""Rows of the chain of seals: numbering events, walking them in their order, removing old ones.

A row is sealed once and never changed afterwards. What the seals mean is in `registry/audit`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pierhead.metadata.database import Row, Transaction, Value
from pierhead.metadata.portions import among

# What a seal is over, each by its name. An event has no other columns but the seal itself.
SEALED = (
    "id", "at", "action", "repository_id", "tag", "before", "after", "actor", "credential", "address", "agent",
    "request_id", "reason", "project_id", "subject", "outcome", "credential_id", "details", "sequence",
)  # fmt: skip
_COLUMNS = ", ".join(SEALED)
_START = bytes(32)
_HEADS_KEPT = 1000

# What is read for ever: by the trash (blobs that come back, and why bytes are gone), and by who looks a repository up
# that had a name once. Whoever reads more of events adds it here. What a tag's history names stays too.
_LASTING = frozenset(("blob.deleted", "manifest.purged", "repository.deleted", "repository.restored"))


@dataclass(frozen=True, slots=True)
class Chain:
    """Where it stands. Events up to `pruned` went, but for `kept` of them, over which `kept_seal` is a chain."""

    sequence: int = 0
    seal: bytes = _START
    pruned: int = 0
    pruned_seal: bytes = _START
    kept: int = 0
    kept_seal: bytes = _START


@dataclass(frozen=True, slots=True)
class Sealed:
    """An event as its row has it, and the seal that stands beside it."""

    columns: dict[str, Any]  # those of SEALED
    seal: bytes

    @property
    def sequence(self) -> int:
        found: int = self.columns["sequence"]
        return found


@dataclass(frozen=True, slots=True)
class Head:
    """Where the chain stood, signed."""

    number: int
    sequence: int
    said: str  # JSON, exactly what is signed
    signature: bytes


def _sealed(row: Row) -> Sealed:
    *columns, seal = row
    return Sealed(dict(zip(SEALED, columns, strict=True)), bytes(seal or b""))


async def any_unsealed(tx: Transaction) -> bool:
    return await tx.fetch_one("SELECT 1 FROM events WHERE sequence IS NULL LIMIT 1") is not None


async def count_unsealed(tx: Transaction, *, limit: int) -> int:
    """How many events are not sealed, at most `limit`."""
    row = await tx.fetch_one(
        "SELECT count(*) FROM (SELECT 1 FROM events WHERE sequence IS NULL LIMIT :limit) AS waiting", limit=limit
    )
    return row[0] if row else 0


async def unsealed(tx: Transaction, *, limit: int) -> list[Sealed]:
    """Some of those that wait, by their ids.

    Whatever this transaction sees and nobody sealed: an event that was committed before another one began is never
    seen later than that one, and has the smaller id. So no order of commits loses an event or puts it after its effect.
    """
    rows = await tx.fetch_all(
        f"SELECT {_COLUMNS}, seal FROM events WHERE sequence IS NULL ORDER BY id LIMIT :limit", limit=limit
    )
    return [_sealed(row) for row in rows]


async def seal(tx: Transaction, sealed: Sequence[Sealed]) -> None:
    await tx.execute_many(
        "UPDATE events SET sequence = :sequence, seal = :seal WHERE id = :id AND sequence IS NULL",
        [{"id": one.columns["id"], "sequence": one.sequence, "seal": one.seal} for one in sealed],
    )


async def chain(tx: Transaction) -> Chain:
    row = await tx.fetch_one("SELECT sequence, seal, pruned, pruned_seal, kept, kept_seal FROM audit_chain")
    return _chain(row)


async def hold_chain(tx: Transaction) -> Chain:
    """As it stands, for whoever goes on with it: nobody else does so before the end of the transaction."""
    start = Chain()
    await tx.execute(
        """
        INSERT INTO audit_chain (one, sequence, seal, pruned, pruned_seal, kept, kept_seal)
        VALUES (1, 0, :seal, 0, :seal, 0, :seal) ON CONFLICT (one) DO NOTHING
        """,
        seal=start.seal,
    )
    row = await tx.fetch_one(
        "SELECT sequence, seal, pruned, pruned_seal, kept, kept_seal FROM audit_chain /*! FOR UPDATE */"
    )
    return _chain(row)


def _chain(row: Row | None) -> Chain:
    if row is None:
        return Chain()
    sequence, seal, pruned, pruned_seal, kept, kept_seal = row
    return Chain(sequence, bytes(seal), pruned, bytes(pruned_seal), kept, bytes(kept_seal))


async def put_chain(tx: Transaction, chain: Chain) -> None:
    await tx.execute(
        """
        UPDATE audit_chain
           SET sequence = :sequence, seal = :seal, pruned = :pruned, pruned_seal = :pruned_seal, kept = :kept,
               kept_seal = :kept_seal
        """,
        sequence=chain.sequence,
        seal=chain.seal,
        pruned=chain.pruned,
        pruned_seal=chain.pruned_seal,
        kept=chain.kept,
        kept_seal=chain.kept_seal,
    )


async def walk(tx: Transaction, *, after: int, after_id: int = 0, limit: int) -> list[Sealed]:
    """Some of those that are sealed, in the order of the chain, past one of them."""
    rows = await tx.fetch_all(
        f"""
        SELECT {_COLUMNS}, seal FROM events
         WHERE sequence IS NOT NULL AND sequence >= :after AND (sequence > :after OR id > :after_id)
         ORDER BY sequence, id LIMIT :limit
        """,
        after=after,
        after_id=after_id,
        limit=limit,
    )
    return [_sealed(row) for row in rows]


async def lasting(tx: Transaction, sealed: Sequence[Sealed]) -> set[int]:
    """The ids of those that others need for ever."""
    asked: list[Value] = [one.columns["id"] for one in sealed]
    told = await among(tx, "SELECT event_id FROM tag_history WHERE event_id IN ?", asked)
    return {row[0] for row in told} | {one.columns["id"] for one in sealed if one.columns["action"] in _LASTING}


async def remove(tx: Transaction, event_ids: Sequence[int]) -> None:
    await tx.execute_many("DELETE FROM events WHERE id = :id", [{"id": one} for one in event_ids])


# Heads


async def add_head(tx: Transaction, sequence: int, said: str, signature: bytes) -> None:
    """The caller holds the chain, so numbers come in the order of commits."""
    last = await last_head(tx)
    number = last.number + 1 if last else 1
    await tx.execute(
        "INSERT INTO audit_heads (number, sequence, said, signature) VALUES (:number, :sequence, :said, :signature)",
        number=number,
        sequence=sequence,
        said=said,
        signature=signature,
    )
    await tx.execute("DELETE FROM audit_heads WHERE number <= :number", number=number - _HEADS_KEPT)


async def heads(tx: Transaction, *, after: int = 0, limit: int) -> list[Head]:
    rows = await tx.fetch_all(
        """
        SELECT number, sequence, said, signature FROM audit_heads WHERE number > :after ORDER BY number LIMIT :limit
        """,
        after=after,
        limit=limit,
    )
    return [_head(row) for row in rows]


async def last_head(tx: Transaction) -> Head | None:
    row = await tx.fetch_one("SELECT number, sequence, said, signature FROM audit_heads ORDER BY number DESC LIMIT 1")
    return _head(row) if row else None


def _head(row: Row) -> Head:
    number, sequence, said, signature = row
    return Head(number, sequence, said, bytes(signature))


# Handing on


async def reached(tx: Transaction, name: str) -> int:
    """How far something was handed on under a name."""
    row = await tx.fetch_one("SELECT reached FROM audit_forwards WHERE name = :name", name=name)
    return row[0] if row else 0


async def reach(tx: Transaction, name: str, reached: int) -> None:
    await tx.execute(
        """
        INSERT INTO audit_forwards (name, reached) VALUES (:name, :reached)
            ON CONFLICT (name) DO UPDATE
           SET reached = CASE WHEN audit_forwards.reached > excluded.reached THEN audit_forwards.reached
                              ELSE excluded.reached END
        """,
        name=name,
        reached=reached,
    )
