"""Rows of refresh tokens: what `docker login` keeps instead of a password. Moments are the database's."""

from dataclasses import dataclass, field

from pierhead.metadata.database import Transaction


@dataclass(frozen=True, slots=True)
class RefreshToken:
    id: int
    principal_id: int
    owner: str
    hashed: bytes = field(repr=False)
    proof: str | None  # JSON: what its owner proved when it was made
    over: bool  # ended, or revoked
    unused: int  # microseconds since it was made, or since its last use was written down


async def add(
    tx: Transaction, *, principal_id: int, name: str, hashed: bytes, proof: str, lasts: int, address: str
) -> int:
    """`lasts` is in microseconds. Returns its id."""
    row = await tx.fetch_one(
        """
        INSERT INTO tokens (kind, principal_id, name, hashed, proof, made_at, expires_at, used_from)
        VALUES ('refresh', :principal_id, :name, :hashed, :proof, clock_us(), clock_us() + :lasts, :address)
        RETURNING id
        """,
        principal_id=principal_id,
        name=name,
        hashed=hashed,
        proof=proof,
        lasts=lasts,
        address=address,
    )
    assert row is not None  # noqa: S101  an INSERT that returns has a row
    made: int = row[0]
    return made


async def find(tx: Transaction, token_id: int) -> RefreshToken | None:
    row = await tx.fetch_one(
        """
        SELECT tokens.id, principal_id, principals.name, hashed, proof,
               CASE WHEN revoked_at IS NOT NULL OR coalesce(expires_at, 0) <= clock_us() THEN 1 ELSE 0 END,
               clock_us() - coalesce(used_at, tokens.made_at)
          FROM tokens JOIN principals ON principals.id = principal_id
         WHERE tokens.id = :id AND tokens.kind = 'refresh'
        """,
        id=token_id,
    )
    if row is None:
        return None
    found, principal_id, owner, hashed, proof, over, unused = row
    return RefreshToken(found, principal_id, owner, bytes(hashed), proof, bool(over), unused)


async def use(tx: Transaction, token_id: int, *, lasts: int, address: str) -> None:
    """It was used just now, and ends so many microseconds later than now."""
    await tx.execute(
        """
        UPDATE tokens SET used_at = clock_us(), used_from = :address, expires_at = clock_us() + :lasts
         WHERE id = :id AND kind = 'refresh' AND revoked_at IS NULL
        """,
        id=token_id,
        lasts=lasts,
        address=address,
    )


async def trim(tx: Transaction, principal_id: int, *, most: int) -> int:
    """Removes those of an owner that were not used for longest, where there are more than so many."""
    return await tx.execute(
        """
        DELETE FROM tokens WHERE id IN (
            SELECT id FROM tokens WHERE principal_id = :principal_id AND kind = 'refresh'
             ORDER BY coalesce(used_at, made_at) DESC, id DESC LIMIT 1000 OFFSET :most
        )
        """,
        principal_id=principal_id,
        most=most,
    )


async def any_over(tx: Transaction, *, age: int) -> bool:
    """Whether one ended longer ago than so many microseconds."""
    return await tx.fetch_one(f"{_OVER} LIMIT 1", age=age) is not None


async def forget(tx: Transaction, *, age: int, limit: int) -> int:
    """Removes some of those, and returns how many."""
    return await tx.execute(f"DELETE FROM tokens WHERE id IN ({_OVER} LIMIT :limit)", age=age, limit=limit)


_OVER = "SELECT id FROM tokens WHERE kind = 'refresh' AND expires_at < clock_us() - CAST(:age AS BIGINT)"
