"""Copying rows from one registry into another one."""

from collections.abc import Iterable, Mapping, Sequence

from pierhead.metadata.database import Row, Transaction, Value
from pierhead.metadata.tables import BLOBS, TABLES, Key, Table
from pierhead.models import Blob, Digest

# The key of a blob whose bytes have not arrived. `;` comes after `:`.
PENDING = "pending:"
_PAST_PENDING = "pending;"


async def page(tx: Transaction, table: Table, columns: Sequence[str], after: Key | None, limit: int) -> list[Row]:
    """Up to `limit` rows past a key, in the order of their keys."""
    beyond = f"WHERE {_tuple(table.key)} > {_tuple(table.key, ':from_')}" if after else ""
    return await tx.fetch_all(
        f"SELECT {', '.join(columns)} FROM {table.name} {beyond} ORDER BY {', '.join(table.key)} LIMIT :limit",
        limit=limit,
        **_named(table, "from_", after),
    )


async def between(
    tx: Transaction, table: Table, columns: Sequence[str], after: Key | None, last: Key | None
) -> list[Row]:
    """All rows past a key, up to another one."""
    bounds = []
    if after:
        bounds.append(f"{_tuple(table.key)} > {_tuple(table.key, ':from_')}")
    if last:
        bounds.append(f"{_tuple(table.key)} <= {_tuple(table.key, ':to_')}")
    where = f"WHERE {' AND '.join(bounds)}" if bounds else ""
    return await tx.fetch_all(
        f"SELECT {', '.join(columns)} FROM {table.name} {where}",
        **_named(table, "from_", after),
        **_named(table, "to_", last),
    )


async def find(tx: Transaction, table: Table, key: Key) -> Row | None:
    where = f"{_tuple(table.key)} = {_tuple(table.key, ':of_')}"
    return await tx.fetch_one(
        f"SELECT {', '.join(table.columns)} FROM {table.name} WHERE {where}", **_named(table, "of_", key)
    )


async def put(tx: Transaction, table: Table, rows: Iterable[Row]) -> None:
    """Adds rows with all their columns, or makes those of the same key like them."""
    named = [dict(zip(table.columns, row, strict=True)) for row in rows]
    if table.name_column:
        await _free_names(tx, table, named)
    replaced = [f"{column} = excluded.{column}" for column in table.rest if column not in table.own]
    await tx.execute_many(
        f"""
        INSERT INTO {table.name} ({", ".join(table.columns)})
        VALUES ({", ".join(f":{column}" for column in table.columns)})
            ON CONFLICT ({", ".join(table.key)}) DO UPDATE SET {", ".join(replaced)}
        """,
        named,
    )


async def _free_names(tx: Transaction, table: Table, rows: Sequence[Mapping[str, Value]]) -> None:
    """Takes names away from rows that have them no more in the source; their own turn comes, or they go."""
    await tx.execute_many(
        f"UPDATE {table.name} SET {table.name_column} = '~' || id WHERE {table.name_column} = :name AND id <> :id",
        [{"name": row[table.name_column or ""], "id": row["id"]} for row in rows],
    )


async def remove(tx: Transaction, table: Table, keys: Iterable[Key]) -> None:
    """Removes rows; bytes that a removed blob has in the store are doomed."""
    where = " AND ".join(f"{column} = :{column}" for column in table.key)
    named = [dict(zip(table.key, key, strict=True)) for key in keys]
    if table is BLOBS:
        await tx.execute_many(_DOOM, named)
    await tx.execute_many(f"DELETE FROM {table.name} WHERE {where}", named)


async def remove_others(tx: Transaction, table: Table, rows: Iterable[Row]) -> None:
    """Removes those of the same key that are something else."""
    columns = (*table.key, *table.identity)
    same = " AND ".join(f"{column} = :{column}" for column in table.identity)
    where = " AND ".join(f"{column} = :{column}" for column in table.key)
    places = [table.columns.index(column) for column in columns]
    await tx.execute_many(
        f"DELETE FROM {table.name} WHERE {where} AND NOT ({same})",
        [{column: row[place] for column, place in zip(columns, places, strict=True)} for row in rows],
    )


async def count(tx: Transaction, table: Table) -> int:
    row = await tx.fetch_one(f"SELECT count(*) FROM {table.name}")
    return row[0] if row else 0


_DOOM = """
INSERT INTO doomed_keys (key, digest, doomed_at)
SELECT key, digest, clock_us() FROM blobs WHERE digest = :digest AND key NOT LIKE 'row:%' AND key NOT LIKE 'pending:%'
    ON CONFLICT (key) DO NOTHING
"""


async def pending(tx: Transaction, after: str, *, limit: int) -> list[Blob]:
    """Some blobs whose bytes have not arrived, in the order of their keys."""
    rows = await tx.fetch_all(
        """
        SELECT digest, size, key FROM blobs
         WHERE key > :after AND key >= :first AND key < :past
         ORDER BY key LIMIT :limit
        """,
        after=after,
        first=PENDING,
        past=_PAST_PENDING,
        limit=limit,
    )
    return [Blob(Digest(digest), size, key) for digest, size, key in rows]


async def awaited(tx: Transaction) -> tuple[int, int]:
    """How many blobs have not arrived, and their bytes."""
    row = await tx.fetch_one(
        """
        SELECT count(*), CAST(coalesce(sum(size), 0) AS BIGINT) FROM blobs WHERE key >= :first AND key < :past
        """,
        first=PENDING,
        past=_PAST_PENDING,
    )
    return (row[0], row[1]) if row else (0, 0)


async def arrived(tx: Transaction, blob: Blob) -> bool:
    """Gives a blob the key under which its bytes are now; False where it was not awaited."""
    changed = await tx.execute(
        "UPDATE blobs SET key = :key WHERE digest = :digest AND key = :awaited",
        key=blob.key,
        digest=blob.digest,
        awaited=f"{PENDING}{blob.digest}",
    )
    return changed > 0


async def lost(tx: Transaction, blob: Blob) -> None:
    """Awaits the bytes of a blob again, those under its key being none or wrong."""
    await tx.execute_many(_DOOM, [{"digest": blob.digest}])
    await tx.execute(
        "UPDATE blobs SET key = :awaited WHERE digest = :digest AND key = :key",
        key=blob.key,
        digest=blob.digest,
        awaited=f"{PENDING}{blob.digest}",
    )


async def add_stored(tx: Transaction, blobs: Iterable[Blob], contents: Mapping[Digest, bytes]) -> None:
    """Blobs whose bytes were found, in the store or beside a row."""
    await tx.execute_many(
        """
        INSERT INTO blobs (digest, size, key, created_at) VALUES (:digest, :size, :key, clock_us())
            ON CONFLICT (digest) DO NOTHING
        """,
        [{"digest": blob.digest, "size": blob.size, "key": blob.key} for blob in blobs],
    )
    await tx.execute_many(
        "INSERT INTO blob_contents (digest, content) VALUES (:digest, :content) ON CONFLICT (digest) DO NOTHING",
        [{"digest": digest, "content": content} for digest, content in contents.items()],
    )


async def incomplete(tx: Transaction, *, limit: int) -> list[tuple[str, Digest, Digest]]:
    """Manifests that refer to what their repository has not: repository, manifest, part."""
    rows = await tx.fetch_all(
        """
        SELECT repositories.name, manifests.digest, manifest_references.digest
          FROM manifest_references
          JOIN manifests ON manifests.id = manifest_references.manifest_id
          JOIN repositories ON repositories.id = manifests.repository_id
         WHERE manifests.trash_id IS NULL
           AND NOT EXISTS (SELECT 1 FROM repository_blobs AS held
                            WHERE held.repository_id = manifests.repository_id
                              AND held.digest = manifest_references.digest)
           AND NOT EXISTS (SELECT 1 FROM manifests AS part
                            WHERE part.repository_id = manifests.repository_id
                              AND part.digest = manifest_references.digest)
         ORDER BY repositories.name, manifests.digest
         LIMIT :limit
        """,
        limit=limit,
    )
    return [(name, Digest(manifest), Digest(part)) for name, manifest, part in rows]


async def stored(tx: Transaction) -> tuple[int, int]:
    """How many blobs there are, and their bytes."""
    row = await tx.fetch_one("SELECT count(*), CAST(coalesce(sum(size), 0) AS BIGINT) FROM blobs")
    return (row[0], row[1]) if row else (0, 0)


async def is_named(tx: Transaction, key: str) -> bool:
    """Whether a row names a key, or dooms it, or an upload may still become it."""
    row = await tx.fetch_one(
        """
        SELECT 1 FROM blobs WHERE key = :key
        UNION ALL SELECT 1 FROM doomed_keys WHERE key = :key
        UNION ALL SELECT 1 FROM uploads WHERE notes LIKE '%' || CAST(:key AS TEXT) || '%'
        LIMIT 1
        """,
        key=key,
    )
    return row is not None


async def stored_after(tx: Transaction, after: str, *, limit: int) -> list[Blob]:
    """Some blobs past a digest, in the order of their digests."""
    rows = await tx.fetch_all(
        "SELECT digest, size, key, damage FROM blobs WHERE digest > :after ORDER BY digest LIMIT :limit",
        after=after,
        limit=limit,
    )
    return [Blob(Digest(digest), size, key, damage) for digest, size, key, damage in rows]


async def is_empty(tx: Transaction) -> bool:
    """Whether nobody pushed anything yet."""
    for table in TABLES:
        if table.name == "access_epoch":
            continue  # which has its row from the beginning
        if await tx.fetch_one(f"SELECT 1 FROM {table.name} LIMIT 1") is not None:
            return False
    return True


def _tuple(columns: Sequence[str], prefix: str = "") -> str:
    names = ", ".join(f"{prefix}{column}" for column in columns)
    return f"({names})" if len(columns) > 1 else names


def _named(table: Table, prefix: str, key: Key | None) -> dict[str, str | int]:
    return {f"{prefix}{column}": value for column, value in zip(table.key, key, strict=True)} if key else {}
