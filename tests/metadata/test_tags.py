import pytest

from pierhead.metadata import repositories, tags
from pierhead.metadata.database import Transaction
from pierhead.models import TagName
from tests.metadata.rows import APP, OTHER, add_event, add_manifest, add_tag, digest

pytestmark = pytest.mark.anyio


async def test_a_tag_points_where_it_was_pointed_last(tx: Transaction) -> None:
    repository = await repositories.ensure(tx, APP)
    for text in ("one", "two"):
        await tags.point(tx, repository, TagName("v1"), await add_manifest(tx, APP, text))

    assert await tags.target(tx, repository, TagName("v1")) == digest("two")
    assert await tx.fetch_one("SELECT count(*) FROM tags") == (1,)


async def test_tags_of_one_repository_are_not_those_of_another(tx: Transaction) -> None:
    await add_tag(tx, APP, "v1", await add_manifest(tx, APP, "one"))

    other = await repositories.ensure(tx, OTHER)
    assert await tags.target(tx, other, TagName("v1")) is None
    assert await tags.names_after(tx, OTHER, "", limit=9) == []


async def test_an_unknown_repository_has_no_page_of_tags(tx: Transaction) -> None:
    assert await tags.names_after(tx, APP, "", limit=9) is None


async def test_a_page_of_tags_is_in_the_order_of_their_bytes(tx: Transaction) -> None:
    manifest = await add_manifest(tx, APP, "m")
    for name in ("b", "B", "_", "a", "1", "A", "a.1", "a-1"):
        await add_tag(tx, APP, name, manifest)

    assert await tags.names_after(tx, APP, "", limit=9) == ["1", "A", "B", "_", "a", "a-1", "a.1", "b"]
    assert await tags.names_after(tx, APP, "B", limit=2) == ["_", "a"]
    assert await tags.names_after(tx, APP, "nothing is after b", limit=1) == []


async def test_a_removed_tag_points_nowhere(tx: Transaction) -> None:
    await add_tag(tx, APP, "v1", await add_manifest(tx, APP, "m"))
    repository = await repositories.ensure(tx, APP)
    await tags.remove(tx, repository, TagName("v1"))

    assert await tags.target(tx, repository, TagName("v1")) is None


async def test_a_manifest_knows_its_tags(tx: Transaction) -> None:
    one, two = await add_manifest(tx, APP, "one"), await add_manifest(tx, APP, "two")
    for name, manifest in (("a", one), ("b", two), ("c", one)):
        await add_tag(tx, APP, name, manifest)

    assert sorted(await tags.of_manifest(tx, one)) == ["a", "c"]


async def test_history_outlives_the_tag_and_its_manifest(tx: Transaction) -> None:
    repository = await repositories.ensure(tx, APP)
    moves = [
        ("created", None, digest("one")),
        ("moved", digest("one"), digest("two")),
        ("deleted", digest("two"), None),
    ]
    for action, before, after in moves:
        event = await add_event(tx, APP)
        await tags.remember(tx, tags.Move(repository, TagName("v1"), action, before, after, event))  # type: ignore[arg-type]  # one of three words

    kept = await tx.fetch_all("SELECT action, before, after FROM tag_history WHERE name = 'v1' ORDER BY id")
    assert kept == moves


async def test_a_manifest_with_a_tag_cannot_go(tx: Transaction) -> None:
    manifest = await add_manifest(tx, APP, "m")
    await add_tag(tx, APP, "v1", manifest)

    with pytest.raises(Exception, match=r"(?i)foreign key"):
        await tx.execute("DELETE FROM manifests WHERE id = :id", id=manifest)
