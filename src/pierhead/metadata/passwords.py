"""Rows of the passwords of local users."""

from pierhead.metadata.database import Transaction


async def put(tx: Transaction, principal_id: int, hashed: str) -> None:
    """Whoever signed in with the password before has to sign in anew."""
    await tx.execute(
        """
        INSERT INTO passwords (principal_id, hashed, version, changed_at)
        VALUES (:id, :hashed, 1, clock_us())
            ON CONFLICT (principal_id) DO UPDATE
           SET hashed = excluded.hashed, version = passwords.version + 1, changed_at = excluded.changed_at
        """,
        id=principal_id,
        hashed=hashed,
    )
