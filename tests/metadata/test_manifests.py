import pytest

from pierhead.metadata import manifests, repositories
from pierhead.metadata.database import Transaction
from pierhead.models import Manifest, TagName
from tests.metadata.rows import APP, OTHER, add_manifest, add_tag, digest, layer

pytestmark = pytest.mark.anyio


async def test_a_manifest_is_found_by_its_digest_and_by_its_tag(tx: Transaction) -> None:
    await add_tag(tx, APP, "v1", await add_manifest(tx, APP, "text"))

    expected = Manifest(digest("text"), "application/json", 4)
    assert await manifests.by_digest(tx, APP, digest("text")) == expected
    assert await manifests.by_tag(tx, APP, TagName("v1")) == expected
    assert await manifests.content(tx, digest("text")) == b"text"


async def test_a_manifest_is_known_in_its_repository_only(tx: Transaction) -> None:
    await add_tag(tx, APP, "v1", await add_manifest(tx, APP, "text"))
    other = await repositories.ensure(tx, OTHER)

    assert await manifests.by_digest(tx, OTHER, digest("text")) is None
    assert await manifests.by_tag(tx, OTHER, TagName("v1")) is None
    assert await manifests.find(tx, other, digest("text")) is None
    assert await manifests.missing(tx, other, [digest("text")]) == [digest("text")]


async def test_bytes_of_a_manifest_in_two_repositories_are_kept_once_until_both_let_go(tx: Transaction) -> None:
    one, two = await add_manifest(tx, APP, "text"), await add_manifest(tx, OTHER, "text")
    assert await tx.fetch_one("SELECT count(*) FROM manifest_contents") == (1,)

    await manifests.remove(tx, {one: digest("text")})
    assert await manifests.content(tx, digest("text")) == b"text"
    await manifests.remove(tx, {two: digest("text")})
    assert await manifests.content(tx, digest("text")) is None


async def test_a_manifest_takes_its_references_with_it(tx: Transaction) -> None:
    made = await add_manifest(tx, APP, "text", references=[layer("a"), layer("b")])
    await manifests.remove(tx, {made: digest("text")})

    assert await tx.fetch_one("SELECT count(*) FROM manifest_references") == (0,)


async def test_a_digest_that_stands_twice_is_one_reference(tx: Transaction) -> None:
    await add_manifest(tx, APP, "text", references=[layer("a"), layer("a"), layer("b")])

    assert await tx.fetch_one("SELECT count(*) FROM manifest_references") == (2,)


async def test_what_needs_a_digest_is_looked_for_in_the_same_repository(tx: Transaction) -> None:
    await add_manifest(tx, APP, "text", references=[layer("a")])
    app, other = await repositories.ensure(tx, APP), await repositories.ensure(tx, OTHER)

    assert await manifests.needing(tx, app, digest("a")) == digest("text")
    assert await manifests.needing(tx, other, digest("a")) is None
    assert await manifests.needing(tx, app, digest("b")) is None


async def test_known_bytes_can_be_read_as_another_type(tx: Transaction) -> None:
    made = await add_manifest(tx, APP, "text", references=[layer("a")])
    repository_id = await repositories.ensure(tx, APP)
    new = manifests.NewManifest(repository_id, Manifest(digest("text"), "text/plain", 4), None, None, None)

    await manifests.retype(tx, made, new, [layer("b")])

    assert await manifests.find(tx, repository_id, digest("text")) == manifests.Held(
        made, digest("text"), "text/plain", None
    )
    assert await manifests.needing(tx, repository_id, digest("a")) is None
    assert await manifests.needing(tx, repository_id, digest("b")) == digest("text")


async def test_listings_do_not_read_the_bytes(sqlite_tx: Transaction) -> None:
    plan = await sqlite_tx.fetch_all(
        """
        EXPLAIN QUERY PLAN
        SELECT manifests.digest, manifests.media_type, manifests.size
          FROM repositories
          JOIN tags ON tags.repository_id = repositories.id
          JOIN manifests ON manifests.id = tags.manifest_id
         WHERE repositories.name = 'a' AND tags.name = 'b'
        """
    )

    assert all("SEARCH" in step[3] for step in plan)
    assert not any("manifest_contents" in step[3] for step in plan)
