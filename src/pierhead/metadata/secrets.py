"""Secrets that all processes of a registry share, made when first asked for."""

import secrets

from pierhead.metadata.database import Database, Transaction

_LENGTH = 32  # bytes


async def shared(database: Database, name: str) -> bytes:
    """The secret of that name: the same for everybody who ever asks."""
    found = await database.read(lambda tx: _find(tx, name))
    if found is None:
        made = secrets.token_bytes(_LENGTH)
        found = await database.write(lambda tx: _keep(tx, name, made))
    return found


async def _find(tx: Transaction, name: str) -> bytes | None:
    row = await tx.fetch_one("SELECT value FROM secrets WHERE name = :name", name=name)
    return bytes(row[0]) if row else None


async def _keep(tx: Transaction, name: str, made: bytes) -> bytes:
    await tx.execute(
        "INSERT INTO secrets (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING", name=name, value=made
    )
    return await _find(tx, name) or made
