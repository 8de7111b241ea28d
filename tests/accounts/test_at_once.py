"""Two who do something at the same moment, on two nodes."""

import asyncio
from functools import partial

import pytest

from pierhead.errors import AccessDenied, ProjectUnknown, RepositoryUnknown
from pierhead.metadata import repositories, rights, trash
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.postgresql.database import PostgresqlDatabase
from pierhead.models import Actor, RepositoryName
from tests.accounts.changing import OPERATOR, Changing

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
    with pytest.raises(AccessDenied):
        await other.write(partial(repositories.ensure, name=RepositoryName("new/b"), actor=actor))

    await pushing
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


@pytest.mark.parametrize("deleted", ["team", "squad"])
async def test_a_repository_goes_neither_out_of_nor_into_a_project_that_is_being_deleted(
    accounts: Changing, database: Database, other: Database, deleted: str
) -> None:
    if not isinstance(database, PostgresqlDatabase):
        pytest.skip("one writes after another there")
    await accounts.project("squad")
    await database.write(lambda tx: repositories.ensure(tx, RepositoryName("team/app")))
    begun = asyncio.Event()

    async def delete(tx: Transaction) -> None:
        project_id = await repositories.identify_project(tx, deleted)
        assert project_id is not None
        trash_id = await trash.add_project(tx, project_id, actor="ann", keep=3600)
        assert trash_id is not None
        await repositories.mark_project(tx, trash_id, project_id)
        await repositories.hide_all(tx, trash_id)
        begun.set()
        await tx.fetch_one("SELECT pg_sleep(1)")  # the other one begins meanwhile

    deleting = asyncio.create_task(database.write(delete))
    await begun.wait()
    renaming = Changing(other).projects.renaming
    with pytest.raises((ProjectUnknown, RepositoryUnknown)):
        await renaming.repository(RepositoryName("team/app"), RepositoryName("squad/app"), by=OPERATOR)
    await deleting

    assert await database.read(lambda tx: repositories.identify(tx, RepositoryName("squad/app"))) is None
