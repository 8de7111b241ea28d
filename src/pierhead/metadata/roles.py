"""Rows of roles beyond those that come with the program."""

import json
from collections.abc import Iterable

from pierhead.metadata.database import Transaction


async def find(tx: Transaction, name: str) -> tuple[str, ...] | None:
    """The words of its verbs; a later version of the program may have written some that this one does not know."""
    row = await tx.fetch_one("SELECT verbs FROM roles WHERE name = :name", name=name)
    return tuple(json.loads(row[0])) if row else None


async def all_(tx: Transaction) -> dict[str, tuple[str, ...]]:
    rows = await tx.fetch_all("SELECT name, verbs FROM roles ORDER BY name")
    return {name: tuple(json.loads(verbs)) for name, verbs in rows}


async def put(tx: Transaction, name: str, verbs: Iterable[str]) -> None:
    await tx.execute(
        """
        INSERT INTO roles (name, verbs) VALUES (:name, :verbs) ON CONFLICT (name) DO UPDATE SET verbs = excluded.verbs
        """,
        name=name,
        verbs=json.dumps(sorted(verbs)),
    )


async def remove(tx: Transaction, name: str) -> None:
    await tx.execute("DELETE FROM roles WHERE name = :name", name=name)
