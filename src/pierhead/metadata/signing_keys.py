"""Rows of the keys that bearer tokens are signed with. Every moment is the database's, in microseconds."""

from dataclasses import dataclass, field

from pierhead.metadata.database import Transaction


@dataclass(frozen=True, slots=True)
class SigningKey:
    kid: str
    algorithm: str
    private: bytes = field(repr=False)  # PKCS #8, DER
    signs_from: int
    ends_at: int | None  # from when on nobody has a token of it; none: the last of them


async def find_all(tx: Transaction) -> list[SigningKey]:
    """Those first that sign last."""
    rows = await tx.fetch_all(
        "SELECT kid, algorithm, private, signs_from, ends_at FROM signing_keys ORDER BY signs_from DESC, kid"
    )
    return [SigningKey(kid, algorithm, bytes(private), *rest) for kid, algorithm, private, *rest in rows]


async def add(tx: Transaction, *, kid: str, algorithm: str, private: bytes, signs_from: int) -> None:
    await tx.execute(
        """
        INSERT INTO signing_keys (kid, algorithm, private, made_at, signs_from)
        VALUES (:kid, :algorithm, :private, clock_us(), :signs_from)
        """,
        kid=kid,
        algorithm=algorithm,
        private=private,
        signs_from=signs_from,
    )


async def end_all(tx: Transaction, *, at: int) -> None:
    """Sets the end of those that have none yet."""
    await tx.execute("UPDATE signing_keys SET ends_at = :at WHERE ends_at IS NULL", at=at)


async def remove_ended(tx: Transaction) -> int:
    return await tx.execute("DELETE FROM signing_keys WHERE ends_at < clock_us()")


async def remove_all(tx: Transaction) -> None:
    await tx.execute("DELETE FROM signing_keys")
