"""Two who do something at the same moment, on two nodes."""

import asyncio
from functools import partial

import pytest

from pierhead.errors import AccessDenied
from pierhead.metadata import repositories, rights
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.postgresql.database import PostgresqlDatabase
from pierhead.models import Actor, RepositoryName
from tests.accounts.changing import Changing

pytestmark = pytest.mark.anyio


async def test_of_two_who_push_to_a_new_project_at_once_one_has_it(
    accounts: Changing, database: Database, other: Database
) -> None:
    ann, bob = await accounts.user("ann"), await accounts.user("bob")
    if not isinstance(database, PostgresqlDatabase):
        pytest.skip("one writes after another there")
    made = asyncio.Event()

    async def first(tx: Transaction) -> None:
        await repositories.ensure(tx, RepositoryName("new/a"), Actor("ann", id=ann, founds=True))
        made.set()
        await tx.fetch_one("SELECT pg_sleep(1)")  # the other one begins meanwhile

    pushing = asyncio.create_task(database.write(first))
    await made.wait()
    actor = Actor("bob", id=bob, founds=True)

    async def second(tx: Transaction) -> int:
        return await repositories.ensure(tx, RepositoryName("new/b"), actor)

    late = asyncio.ensure_future(other.write(second))

    await pushing
    with pytest.raises(AccessDenied):
        await late
    assert await database.read(lambda tx: repositories.identify(tx, RepositoryName("new/b"))) is None


async def test_a_transaction_that_changes_many_rows_is_counted(accounts: Changing, database: Database) -> None:
    await accounts.project("team")

    async def make(tx: Transaction, count: int) -> None:
        for number in range(count):
            await tx.execute(
                "INSERT INTO roles (name, verbs) VALUES (:name, '[]')",
                name=f"role{count}-{number}",
            )

    before = await database.read(rights.epoch)
    await database.write(partial(make, count=3))
    between = await database.read(rights.epoch)
    await database.write(partial(make, count=1))
    after = await database.read(rights.epoch)

    assert before.number < between.number < after.number
    if isinstance(database, PostgresqlDatabase):  # whose one row gets longer to read with each change to a commit
        assert between.number == before.number + 1
