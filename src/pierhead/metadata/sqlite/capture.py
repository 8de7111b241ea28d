"""What changes in a registry while it is copied, written down by triggers; and triggers that stop its writers.

They are part of the database, so they hold for every process that writes to it, those that began long
before them too, and they stay when the one who made them is killed.
"""

import json

from pierhead.metadata.database import Transaction
from pierhead.metadata.sqlite.engine import FROZEN, MOVED
from pierhead.metadata.tables import TABLES, Key, Table

_LOG = """
CREATE TABLE IF NOT EXISTS grow_changes (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    relation TEXT NOT NULL,
    key      TEXT NOT NULL -- JSON
)
"""
_EVENTS = (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD"))
# Sessions do not move, but nobody shall send gigabytes to a registry that has moved.
_GUARDED = (*(table.name for table in TABLES), "uploads")
_IN_STATE = "EXISTS (SELECT 1 FROM moves WHERE state = '{state}' AND ({until}))"
_MOVED = _IN_STATE.format(state="moved", until="1")
_FROZEN = _IN_STATE.format(state="frozen", until="until > CAST(unixepoch('subsec') * 1000000 AS INTEGER)")


async def begin(tx: Transaction) -> None:
    """From the commit on, every change is written down, and freezes are obeyed."""
    await tx.execute(_LOG)
    for table in TABLES:
        for event, row in _EVENTS:
            await tx.execute(_recorder(table, event, row))
    for name in _GUARDED:
        for event, _ in _EVENTS:
            await tx.execute(_guard(name, event))


async def end(tx: Transaction) -> None:
    """Forgets changes and triggers, but for the guards of a registry that has moved."""
    for table in TABLES:
        for event, _ in _EVENTS:
            await tx.execute(f"DROP TRIGGER IF EXISTS grow_record_{table.name}_{event.lower()}")
    await tx.execute("DROP TABLE IF EXISTS grow_changes")


async def stop_guarding(tx: Transaction) -> None:
    for name in _GUARDED:
        for event, _ in _EVENTS:
            await tx.execute(f"DROP TRIGGER IF EXISTS grow_guard_{name}_{event.lower()}")


async def latest(tx: Transaction) -> int:
    """The number of the latest change; those up to it are what a snapshot that sees it contains."""
    row = await tx.fetch_one("SELECT coalesce(max(number), 0) FROM grow_changes")
    return row[0] if row else 0


async def changed(tx: Transaction, table: Table, *, after: int, upto: int, limit: int) -> tuple[list[Key], int | None]:
    """Keys of some rows of a table that changed, each once, and the number to go on after; None at the end."""
    rows = await tx.fetch_all(
        """
        SELECT number, key FROM grow_changes
         WHERE number > :after AND number <= :upto AND relation = :relation
         ORDER BY number LIMIT :limit
        """,
        relation=table.name,
        after=after,
        upto=upto,
        limit=limit,
    )
    keys = dict.fromkeys(tuple(json.loads(key)) for _, key in rows)
    return list(keys), rows[-1][0] if len(rows) == limit else None


async def forget(tx: Transaction, upto: int) -> None:
    await tx.execute("DELETE FROM grow_changes WHERE number <= :upto", upto=upto)


def _recorder(table: Table, event: str, row: str) -> str:
    key = ", ".join(f"{row}.{column}" for column in table.key)
    return f"""
        CREATE TRIGGER IF NOT EXISTS grow_record_{table.name}_{event.lower()} AFTER {event} ON {table.name} BEGIN
            INSERT INTO grow_changes (relation, key) VALUES ('{table.name}', json_array({key}));
        END
    """


def _guard(name: str, event: str) -> str:
    return f"""
        CREATE TRIGGER IF NOT EXISTS grow_guard_{name}_{event.lower()} BEFORE {event} ON {name} BEGIN
            SELECT RAISE(ABORT, '{MOVED}') WHERE {_MOVED};
            SELECT RAISE(ABORT, '{FROZEN}') WHERE {_FROZEN};
        END
    """
