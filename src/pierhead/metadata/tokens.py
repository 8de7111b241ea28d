"""Rows of personal tokens and of the secrets of robots; refresh tokens are listed, and revoked, with them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pierhead.metadata.database import Row, Transaction
from pierhead.metadata.portions import among

Kind = Literal["personal", "robot", "refresh"]
Places = tuple[tuple[int, str], ...]  # ids of projects, with a pattern below each

_OVER = "CASE WHEN revoked_at IS NOT NULL OR expires_at <= clock_us() THEN 1 ELSE 0 END"
_SELECT = f"""
    SELECT tokens.id, tokens.kind, principal_id, principals.name, principals.project_id, tokens.name, verbs, places,
           tokens.made_at, expires_at, revoked_at, used_at, used_from, {_OVER}
      FROM tokens JOIN principals ON principals.id = principal_id
"""


@dataclass(frozen=True, slots=True)
class Token:
    id: int
    kind: Kind
    principal_id: int
    owner: str
    project_id: int | None  # of its owner, a robot
    name: str
    verbs: tuple[str, ...] | None  # None: all that its owner has
    places: Places | None  # None: everywhere
    made_at: int
    expires_at: int | None
    revoked_at: int | None
    used_at: int | None
    used_from: str | None
    over: bool  # revoked, or expired


def _token(row: Row) -> Token:
    token = Token(*row)
    verbs, places = row[6:8]
    return replace(
        token,
        verbs=tuple(json.loads(verbs)) if verbs else None,
        places=tuple((project, pattern) for project, pattern in json.loads(places)) if places else None,
        over=bool(token.over),
    )


async def add(
    tx: Transaction,
    kind: Kind,
    principal_id: int,
    name: str,
    *,
    hashed: bytes,
    verbs: Sequence[str] | None,
    places: Places | None,
    lasts: int | None,
) -> int:
    """The id of a new one; `lasts` is in microseconds, None: for ever."""
    row = await tx.fetch_one(
        """
        INSERT INTO tokens (kind, principal_id, name, hashed, verbs, places, made_at, expires_at)
        VALUES (:kind, :principal_id, :name, :hashed, :verbs, :places, clock_us(),
                clock_us() + CAST(:lasts AS BIGINT))
        RETURNING id
        """,
        kind=kind,
        principal_id=principal_id,
        name=name,
        hashed=hashed,
        verbs=None if verbs is None else json.dumps(sorted(verbs)),
        places=None if places is None else json.dumps(places),
        lasts=lasts,
    )
    assert row is not None  # noqa: S101  an INSERT that returns has a row
    made: int = row[0]
    return made


async def find(tx: Transaction, token_id: int) -> Token | None:
    row = await tx.fetch_one(f"{_SELECT} WHERE tokens.id = :id", id=token_id)
    return _token(row) if row else None


async def live_named(tx: Transaction, principal_id: int, name: str) -> Token | None:
    """One of this name that still signs in."""
    row = await tx.fetch_one(
        f"""
        {_SELECT}
         WHERE principal_id = :id AND tokens.name = :name AND tokens.kind <> 'refresh' AND {_OVER} = 0
         ORDER BY tokens.id DESC LIMIT 1
        """,
        id=principal_id,
        name=name,
    )
    return _token(row) if row else None


async def count_live(tx: Transaction, principal_id: int, kind: Kind) -> int:
    row = await tx.fetch_one(
        f"SELECT count(*) FROM tokens WHERE principal_id = :id AND kind = :kind AND {_OVER} = 0",
        id=principal_id,
        kind=kind,
    )
    return row[0] if row else 0


async def page(
    tx: Transaction, *, principal_id: int | None = None, over: bool = False, after: int = 0, limit: int
) -> list[Token]:
    """Up to `limit` with greater ids than `after`; those that are over with `over` only."""
    rows = await tx.fetch_all(
        f"""
        {_SELECT}
         WHERE tokens.id > :after AND (CAST(:principal_id AS BIGINT) IS NULL OR principal_id = :principal_id)
           AND ({_OVER} = 0 OR CAST(:over AS BIGINT) = 1)
         ORDER BY tokens.id LIMIT :limit
        """,
        principal_id=principal_id,
        over=int(over),
        after=after,
        limit=limit,
    )
    return [_token(row) for row in rows]


async def revoke(tx: Transaction, token_id: int) -> None:
    await tx.execute("UPDATE tokens SET revoked_at = clock_us() WHERE id = :id AND revoked_at IS NULL", id=token_id)


async def end_in(tx: Transaction, token_id: int, microseconds: int) -> None:
    """Lets it end so much later than now, where it would not end before."""
    await tx.execute(
        """
        UPDATE tokens SET expires_at = clock_us() + CAST(:after AS BIGINT)
         WHERE id = :id AND (expires_at IS NULL OR expires_at > clock_us() + CAST(:after AS BIGINT))
        """,
        id=token_id,
        after=microseconds,
    )


async def projects(tx: Transaction, ids: Sequence[int]) -> dict[int, str]:
    """What projects are called now, without those that were deleted."""
    rows = await among(tx, "SELECT id, name FROM projects WHERE trash_id IS NULL AND id IN ?", ids)
    return {project_id: name for project_id, name in rows if "@" not in name}
