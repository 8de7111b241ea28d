import pytest

from pierhead.metadata import copies
from pierhead.metadata.database import Transaction
from pierhead.models import TagName
from tests.metadata.rows import APP, add_manifest, add_tag, digest

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("there", [-60_000_000, 60_000_000])  # microseconds from now
async def test_what_arrives_comes_after_a_former_life_and_before_what_happens_here(tx: Transaction, there: int) -> None:
    await copies.owe(tx, "deleted", digest("m"), repository=APP)
    await add_tag(tx, APP, "v1", await add_manifest(tx, APP, "m"))
    for table, column in (("manifests", "pushed_at"), ("tags", "moved_at")):
        await tx.execute(f"UPDATE {table} SET {column} = clock_us() + CAST(:there AS BIGINT)", there=there)

    await copies.owe_everything(tx)
    await copies.owe(tx, "deleted", digest("m"), repository=APP, tag=TagName("v1"))

    told = sorted(await copies.oldest(tx, limit=9), key=lambda one: (one.at, one.id))
    assert [(one.what, one.tag) for one in told] == [
        ("deleted", None),
        ("pushed", None),
        ("pushed", "v1"),
        ("deleted", "v1"),
    ]
