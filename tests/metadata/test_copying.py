"""What makes up a registry is all that the schema has, but for what belongs to one installation."""

import pytest

from pierhead.metadata.copying import put
from pierhead.metadata.database import Transaction
from pierhead.metadata.sqlite.transaction import SqliteTransaction
from pierhead.metadata.tables import NOT_COPIED, TABLES, Table

pytestmark = pytest.mark.anyio


async def columns(tx: Transaction, table: str) -> list[str]:
    if isinstance(tx, SqliteTransaction):
        sql = "SELECT name FROM pragma_table_info(:table)"
    else:
        sql = """
            SELECT column_name FROM information_schema.columns
             WHERE table_schema = current_schema() AND table_name = CAST(:table AS TEXT)
        """
    return [name for (name,) in await tx.fetch_all(sql, table=table)]


async def tables(tx: Transaction) -> set[str]:
    if isinstance(tx, SqliteTransaction):
        sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    else:
        sql = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'pierhead_schema'"
    return {name for (name,) in await tx.fetch_all(sql)}


async def test_every_table_is_copied_or_has_its_reason(tx: Transaction) -> None:
    assert {table.name for table in TABLES} | NOT_COPIED == await tables(tx)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
async def test_every_column_is_copied(tx: Transaction, table: Table) -> None:
    assert sorted(table.columns) == sorted(await columns(tx, table.name))


async def test_names_that_wandered_from_row_to_row_arrive(tx: Transaction) -> None:
    """A repository that was deleted, and made anew; and the first one restored while the second is in the trash."""
    projects, repositories = (
        next(found for found in TABLES if found.name == name) for name in ("projects", "repositories")
    )
    await put(tx, projects, [(1, "team", 0, None, None, "private", None)])

    await put(tx, repositories, [(1, 1, "team/app@1", 0, None, None), (2, 1, "team/app", 0, None, None)])
    await put(tx, repositories, [(1, 1, "team/app", 0, None, None)])
    await put(tx, repositories, [(2, 1, "team/app@2", 0, None, None)])

    names = await tx.fetch_all("SELECT id, name FROM repositories ORDER BY id")
    assert names == [(1, "team/app"), (2, "team/app@2")]
