import pytest

from pierhead.metadata import copies
from pierhead.metadata.database import Transaction
from pierhead.models import TagName
from tests.metadata.rows import APP, add_manifest, add_tag, digest

pytestmark = pytest.mark.anyio


async def test_what_happens_after_an_arrival_is_told_after_it_whatever_the_clock_said_there(tx: Transaction) -> None:
    await add_tag(tx, APP, "v1", await add_manifest(tx, APP, "m"))
    for table, column in (("manifests", "pushed_at"), ("tags", "moved_at")):
        await tx.execute(f"UPDATE {table} SET {column} = clock_us() + 60000000")

    await copies.owe_everything(tx)
    await copies.owe(tx, "deleted", digest("m"), repository=APP, tag=TagName("v1"))

    told = sorted(await copies.oldest(tx, limit=9), key=lambda one: (one.at, one.id))
    assert [(one.what, one.tag) for one in told] == [("pushed", None), ("pushed", "v1"), ("deleted", "v1")]
