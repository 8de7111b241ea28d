import pytest

from pierhead.metadata import blobs, repositories
from pierhead.metadata.database import Transaction
from pierhead.models import Blob
from tests.metadata.rows import APP, OTHER, add_blob, digest

pytestmark = pytest.mark.anyio


async def test_a_blob_is_held_by_those_who_pushed_it(tx: Transaction) -> None:
    made = await add_blob(tx, APP, "text")
    await repositories.ensure(tx, OTHER)

    assert await blobs.held(tx, APP, made) == Blob(made, 4, "key of text")
    assert await blobs.held(tx, OTHER, made) is None
    assert await blobs.stored(tx, made) == Blob(made, 4, "key of text")


async def test_content_of_ten_repositories_is_one_row(tx: Transaction) -> None:
    for number in range(10):
        await add_blob(tx, type(APP)(f"team/app{number}"), "text")

    assert await tx.fetch_one("SELECT count(*) FROM blobs") == (1,)
    assert len(await blobs.holders(tx, digest("text"), limit=100)) == 10
    assert len(await blobs.holders(tx, digest("text"), limit=3)) == 3


async def test_holding_and_releasing_tell_whether_they_changed_anything(tx: Transaction) -> None:
    made, repository = await add_blob(tx, APP, "text"), await repositories.ensure(tx, APP)

    assert not await blobs.hold(tx, repository, made)
    assert await blobs.release(tx, repository, made)
    assert not await blobs.release(tx, repository, made)
    assert await blobs.hold(tx, repository, made)


async def test_released_content_stays_for_others(tx: Transaction) -> None:
    made = await add_blob(tx, APP, "text")
    await add_blob(tx, OTHER, "text")
    await blobs.release(tx, await repositories.ensure(tx, APP), made)

    assert await blobs.held(tx, APP, made) is None
    assert await blobs.held(tx, OTHER, made) is not None


async def test_a_digest_that_gets_new_bytes_dooms_its_old_key(tx: Transaction) -> None:
    made = await add_blob(tx, APP, "text")
    await blobs.put(tx, Blob(made, 4, "another key"))

    assert await blobs.held(tx, APP, made) == Blob(made, 4, "another key")
    assert await tx.fetch_all("SELECT key FROM doomed_keys") == [("key of text",)]


async def test_one_key_is_of_one_digest(tx: Transaction) -> None:
    await add_blob(tx, APP, "text")

    with pytest.raises(Exception, match=r"(?i)unique"):
        await blobs.put(tx, Blob(digest("other"), 4, "key of text"))


async def test_what_a_repository_lacks_is_told_in_the_order_asked(tx: Transaction) -> None:
    await add_blob(tx, APP, "b")
    await add_blob(tx, OTHER, "c")
    repository = await repositories.ensure(tx, APP)

    assert await blobs.missing(tx, repository, map(digest, "cba")) == [digest("c"), digest("a")]


async def test_a_held_blob_keeps_its_row(tx: Transaction) -> None:
    made = await add_blob(tx, APP, "text")

    with pytest.raises(Exception, match=r"(?i)foreign key"):
        await tx.execute("DELETE FROM blobs WHERE digest = :digest", digest=made)
