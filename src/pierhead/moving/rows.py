"""Making the rows of one registry like those of another one, and telling where they differ.

Both sides are read in the order of their keys, so nothing is held but one stretch of a table. What is
removed goes first, from the last table to the first, since what comes may take its name.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from pierhead.errors import MoveFailed
from pierhead.metadata import copying
from pierhead.metadata.copying import PENDING
from pierhead.metadata.database import Row, Transaction
from pierhead.metadata.tables import BLOBS, CONTENTS, TABLES, Key, Table
from pierhead.models import Digest, in_row
from pierhead.moving.progress import Advance, Progress
from pierhead.registry.faults import is_of

_STRETCH = 1000  # rows
# Manifests are long: a stretch of them is about so many bytes.
_STRETCH_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stretch:
    """The rows of both sides between two keys."""

    source: dict[Key, Row]
    target: dict[Key, Row]


async def synchronize(source: Transaction, target: Transaction, progress: Progress) -> int:
    """Makes the target's rows those of the source, and returns how many it touched.

    Blobs whose bytes the target has keep their keys, the others are awaited. Raises MoveFailed where
    bytes that lie in rows are not what their digest says.
    """
    touched = 0
    for table in reversed(TABLES):
        touched += await _remove_strays(source, target, table)
    lengths = [await copying.count(source, table) for table in TABLES]
    with progress.bar("rows", sum(lengths)) as advance:
        for table in TABLES:
            touched += await _bring(source, target, table, advance)
    return touched


async def differences(source: Transaction, target: Transaction, progress: Progress) -> list[str]:
    """Tables whose rows are not the same on both sides, each with how many."""
    found = []
    lengths = [await copying.count(source, table) for table in TABLES]
    with progress.bar("comparing rows", sum(lengths)) as advance:
        for table in TABLES:
            differing = 0
            async for stretch in _stretches(source, target, table, table.compared):
                keys = stretch.source.keys() | stretch.target.keys()
                differing += sum(stretch.source.get(key) != stretch.target.get(key) for key in keys)
                advance(len(stretch.source))
            if differing:
                found.append(f"{table.name}: {differing}")
    return found


async def counts(tx: Transaction) -> dict[str, int]:
    return {table.name: await copying.count(tx, table) for table in TABLES}


async def renew(source: Transaction, target: Transaction, table: Table, keys: Iterable[Key]) -> None:
    """Gives the target the rows that the source has of these keys."""
    found = [await copying.find(source, table, key) for key in keys]
    rows = [row for row in found if row is not None]
    check_contents(table, rows)
    await copying.put(target, table, [_arriving(table, row) for row in rows])


async def drop(source: Transaction, target: Transaction, table: Table, keys: Iterable[Key]) -> None:
    """Removes from the target the rows of these keys that the source has no more, or gave to something else."""
    gone, there = [], []
    for key in keys:
        row = await copying.find(source, table, key)
        if row is None:
            gone.append(key)
        else:
            there.append(row)
    await copying.remove(target, table, gone)
    if table.identity:
        await copying.remove_others(target, table, there)


async def _remove_strays(source: Transaction, target: Transaction, table: Table) -> int:
    """Rows that the source has not, or whose id it gave to something else."""
    if not await copying.page(target, table, table.key, None, 1):
        return 0
    removed = 0
    async for stretch in _stretches(source, target, table, (*table.key, *table.identity)):
        strays = [key for key, row in stretch.target.items() if stretch.source.get(key) != row]
        await copying.remove(target, table, strays)
        removed += len(strays)
    return removed


async def _bring(source: Transaction, target: Transaction, table: Table, advance: Advance) -> int:
    brought = 0
    own = {table.columns.index(column) for column in table.own}

    def alike(row: Row, other: Row | None) -> bool:
        return other is not None and all(value == other[place] for place, value in enumerate(row) if place not in own)

    async for stretch in _stretches(source, target, table, table.columns):
        new = [row for key, row in stretch.source.items() if not alike(row, stretch.target.get(key))]
        check_contents(table, new)
        await copying.put(target, table, [_arriving(table, row) for row in new])
        brought += len(new)
        advance(len(stretch.source))
    return brought


async def _stretches(
    source: Transaction, target: Transaction, table: Table, columns: tuple[str, ...]
) -> AsyncIterator[Stretch]:
    after: Key | None = None
    limit = _STRETCH
    while True:
        rows = await copying.page(source, table, columns, after, limit)
        last = table.key_of(rows[-1]) if len(rows) == limit else None
        others = await copying.between(target, table, columns, after, last)
        yield Stretch({table.key_of(row): row for row in rows}, {table.key_of(row): row for row in others})
        if last is None:
            return
        after, limit = last, _next_limit(table, rows)
        # SQLite never waits, and others on this loop have to breathe.
        await asyncio.sleep(0)


def _next_limit(table: Table, rows: list[Row]) -> int:
    if table.name not in CONTENTS or len(rows[0]) == len(table.key):
        return _STRETCH
    length = sum(len(row[1]) for row in rows) // len(rows)
    return max(4, min(_STRETCH, _STRETCH_BYTES // max(1, length)))


def check_contents(table: Table, rows: list[Row]) -> None:
    """Raises MoveFailed where bytes that lie in rows are not what their digest says."""
    if table.name not in CONTENTS:
        return
    for digest, content in rows:
        if not is_of(Digest(digest), content):
            kind = "the manifest" if table.name == "manifest_contents" else "the blob"
            raise MoveFailed(f"{kind} {digest} is damaged: its row holds other bytes")


def _arriving(table: Table, row: Row) -> Row:
    """A blob's row as it is written before its bytes are there."""
    if table is not BLOBS:
        return row
    digest, size, key, created_at, _ = row
    return digest, size, key if key == in_row(digest) else f"{PENDING}{digest}", created_at, None
