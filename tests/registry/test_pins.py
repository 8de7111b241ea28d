"""Pins, on both databases: what they hold, and what they do not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from pierhead.errors import ManifestUnknown, Pinned, RepositoryUnknown
from pierhead.metadata import pins as rows
from pierhead.metadata import repositories
from pierhead.metadata.database import Transaction
from pierhead.metadata.pins import Pin
from pierhead.models import Actor, Digest, RepositoryName, TagName
from pierhead.registry.registry import Registry
from pierhead.settings import ManifestSettings, Settings
from tests.contracts.database import Place
from tests.registry.acting import (
    ALICE,
    APP,
    IMAGE,
    INDEX,
    OTHER,
    acting,
    digest_of,
    image,
    index,
    now,
    push,
    push_config,
)

pytestmark = pytest.mark.anyio

V1, V2 = TagName("v1"), TagName("v2")
BOB = Actor("bob")
HOUR = 3_600_000_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def registry(place: Place, tmp_path: Path) -> AsyncIterator[Registry]:
    async with acting(place, tmp_path) as registry:
        yield registry


@pytest.fixture
async def lenient(place: Place, tmp_path: Path) -> AsyncIterator[Registry]:
    """Where what a manifest needs may be deleted."""
    async with acting(place, tmp_path, Settings(manifests=ManifestSettings(allow_delete_needed=True))) as registry:
        yield registry


async def in_force(registry: Registry) -> Pin | None:
    async def ask(tx: Transaction) -> Pin | None:
        repository_id = await repositories.identify(tx, APP)
        return await rows.any_of(tx, repository_id) if repository_id else None

    return await registry.pins._database.read(ask)


async def test_a_pinned_tag_is_neither_moved_nor_deleted_nor_is_its_manifest(registry: Registry) -> None:
    one = await push(registry, APP, "v1,v2", "one")
    await registry.pins.add(APP, V1, reason="in production", actor=BOB)

    for refused in (
        push(registry, APP, "v1", "two"),
        registry.tags.delete(APP, V1, actor=ALICE),
        registry.manifests.delete(APP, one, actor=ALICE),
    ):
        with pytest.raises(Pinned, match="v1, by bob: in production"):
            await refused
    assert (await registry.manifests.find(APP, V1)).digest == one
    await push(registry, APP, "v1", "one")
    await push(registry, APP, "v2", "two")


async def test_a_push_of_several_tags_moves_none_where_one_is_pinned(registry: Registry) -> None:
    one = await push(registry, APP, "v1,v2", "one")
    await registry.pins.add(APP, V2, reason="kept", actor=BOB)
    with pytest.raises(Pinned):
        await push(registry, APP, "v1,v2", "two")

    assert (await registry.manifests.find(APP, V1)).digest == one
    with pytest.raises(ManifestUnknown):
        await registry.manifests.find(APP, digest_of(image("two")))


async def test_a_pinned_digest_stays_and_its_tags_may_move(registry: Registry) -> None:
    one = await push(registry, APP, "v1", "one")
    await registry.pins.add(APP, one, reason="audited", actor=BOB)
    await push(registry, APP, "v1", "two")
    with pytest.raises(Pinned, match="audited"):
        await registry.manifests.delete(APP, one, actor=ALICE)

    assert (await registry.manifests.find(APP, one)).digest == one


async def test_a_pin_names_who_why_and_until_when(registry: Registry) -> None:
    await push(registry, APP, "v1", "one")
    await registry.pins.add(APP, V1, reason="audit", until=4_102_444_800_000_000, actor=BOB)

    with pytest.raises(Pinned, match=r"^v1, by bob until 2100-01-01T00:00:00Z: audit$"):
        await registry.tags.delete(APP, V1, actor=ALICE)


async def test_a_pin_whose_time_is_over_does_nothing(registry: Registry) -> None:
    one = await push(registry, APP, "v1", "one")
    await registry.pins.add(APP, V1, reason="brief", until=now() - 1, actor=BOB)
    await registry.pins.add(APP, one, reason="brief", until=now() - 1, actor=BOB)

    assert await in_force(registry) is None
    await push(registry, APP, "v1", "two")
    await registry.tags.delete(APP, V1, actor=ALICE)
    await registry.manifests.delete(APP, one, actor=ALICE)


async def test_a_second_pin_takes_the_place_of_the_first(registry: Registry) -> None:
    await push(registry, APP, "v1", "one")
    first = await registry.pins.add(APP, V1, reason="a", until=now() + HOUR, actor=ALICE)
    second = await registry.pins.add(APP, V1, reason="b", actor=BOB)

    assert second.id == first.id
    assert [pin for _, pin in (await registry.pins.page(size=9)).pins] == [second]
    assert (second.reason, second.actor, second.until) == ("b", "bob", None)


async def test_a_pin_that_is_taken_off_holds_nothing(registry: Registry) -> None:
    one = await push(registry, APP, "v1", "one")
    for target in (V1, one):
        await registry.pins.add(APP, target, reason="", actor=BOB)
    assert await in_force(registry)

    assert [await registry.pins.remove(APP, target, actor=BOB) for target in (V1, one, V1, one)] == [
        *(True, True),
        *(False, False),
    ]
    assert await in_force(registry) is None
    await registry.manifests.delete(APP, one, actor=ALICE)


async def test_what_is_not_there_is_not_pinned_and_what_is_in_the_trash_neither(registry: Registry) -> None:
    with pytest.raises(RepositoryUnknown):
        await registry.pins.add(APP, V1, reason="", actor=BOB)
    one = await push(registry, APP, "v1", "one")
    for absent in (V2, digest_of(b"absent")):
        with pytest.raises(ManifestUnknown) as unknown:
            await registry.pins.add(APP, absent, reason="", actor=BOB)
        assert "trash" not in str(unknown.value)
    await registry.manifests.delete(APP, one, actor=ALICE)
    for trashed in (V1, one):
        with pytest.raises(ManifestUnknown, match="in the trash; restore it first"):
            await registry.pins.add(APP, trashed, reason="", actor=BOB)


async def test_pins_are_listed_page_by_page_of_one_repository_or_all(registry: Registry) -> None:
    for repository in (APP, OTHER, APP):
        await push(registry, repository, "v1,v2", "one")
    made = [
        await registry.pins.add(repository, tag, reason="", actor=BOB)
        for repository, tag in ((APP, V1), (OTHER, V1), (APP, V2))
    ]

    first = await registry.pins.page(size=2)
    assert (first.pins, first.more) == ([(APP, made[0]), (OTHER, made[1])], True)
    rest = await registry.pins.page(after=made[1].id, size=2)
    assert (rest.pins, rest.more) == ([(APP, made[2])], False)
    assert [pin for _, pin in (await registry.pins.page(APP, size=9)).pins] == [made[0], made[2]]


async def push_index(registry: Registry, tag: str, *children: bytes) -> Digest:
    content = index(*children)
    await registry.manifests.push(APP, TagName(tag), content, content_type=INDEX, actor=ALICE)
    return digest_of(content)


async def test_what_a_pinned_manifest_needs_stays_even_where_deleting_that_is_allowed(lenient: Registry) -> None:
    child = await push(lenient, APP, "", "child")
    inner = await push_index(lenient, "inner", image("child"))
    outer = index(index(image("child")))
    await lenient.manifests.push(APP, TagName("outer"), outer, content_type=INDEX, actor=ALICE)
    await lenient.pins.add(APP, TagName("outer"), reason="kept", actor=BOB)

    for needed in (child, inner):
        with pytest.raises(Pinned, match="kept"):
            await lenient.manifests.delete(APP, needed, actor=ALICE)
    with pytest.raises(Pinned, match="kept"):
        await lenient.blobs.delete(APP, digest_of(b"{}"), actor=ALICE)
    await lenient.pins.remove(APP, TagName("outer"), actor=BOB)
    await lenient.manifests.delete(APP, child, actor=ALICE)


async def test_what_is_pinned_does_not_go_with_what_it_belongs_to(registry: Registry) -> None:
    child = await push(registry, APP, "", "child")
    await push(registry, APP, "", "other child")
    listing = await push_index(registry, "all", image("child"), image("other child"))
    await registry.pins.add(APP, child, reason="kept", actor=BOB)
    await registry.manifests.delete(APP, listing, actor=ALICE)

    assert (await registry.manifests.find(APP, child)).digest == child
    with pytest.raises(ManifestUnknown):
        await registry.manifests.find(APP, digest_of(image("other child")))


async def test_who_pins_and_who_deletes_at_once_come_one_after_the_other(registry: Registry) -> None:
    """Whoever was told that it is pinned finds it there."""
    await push_config(registry, APP)
    for number in range(20):
        content = image(f"raced {number}")
        digest, tag = digest_of(content), TagName(f"t{number}")
        await registry.manifests.push(APP, tag, content, content_type=IMAGE, actor=ALICE)
        target: TagName | Digest = tag if number % 2 else digest

        async def pin(target: TagName | Digest = target) -> bool:
            with suppress(ManifestUnknown):
                await registry.pins.add(APP, target, reason="raced", actor=BOB)
                return True
            return False

        async def delete(digest: Digest = digest) -> bool:
            with suppress(Pinned):
                await registry.manifests.delete(APP, digest, actor=ALICE)
                return True
            return False

        async def move(tag: TagName = tag) -> bool:
            with suppress(Pinned):
                await push(registry, APP, tag, "elsewhere")
                return True
            return False

        pinned, deleted, moved = await asyncio.gather(pin(), delete(), move())
        if not deleted:
            assert pinned
            assert (await registry.manifests.find(APP, digest)).digest == digest
        else:
            assert not pinned or (moved and target == tag)


async def test_a_repository_and_a_project_with_a_pin_are_not_deleted(registry: Registry) -> None:
    await push(registry, APP, "v1", "one")
    await registry.pins.add(APP, V1, reason="kept", actor=BOB)

    with pytest.raises(Pinned, match="kept"):
        await registry.trash.delete_repository(APP, actor=ALICE)
    with pytest.raises(Pinned, match="kept"):
        await registry.trash.delete_project("team", actor=ALICE)
    await registry.pins.remove(APP, V1, actor=BOB)
    await registry.trash.delete_repository(APP, actor=ALICE)
    with pytest.raises(RepositoryUnknown, match="in the trash; restore it first"):
        await registry.pins.add(APP, V1, reason="kept", actor=BOB)


@pytest.mark.parametrize("whole", ["repository", "project"])
async def test_who_pins_and_who_deletes_the_whole_at_once_do_not_both_succeed(registry: Registry, whole: str) -> None:
    outcomes = set()
    for number in range(20):
        name = RepositoryName(f"p{number}/app")
        await push(registry, name, "v1", "one")

        async def pin(name: RepositoryName = name) -> bool:
            with suppress(RepositoryUnknown):
                await registry.pins.add(name, V1, reason="raced", actor=BOB)
                return True
            return False

        async def delete(name: RepositoryName = name) -> bool:
            with suppress(Pinned):
                if whole == "project":
                    await registry.trash.delete_project(name.project, actor=ALICE)
                else:
                    await registry.trash.delete_repository(name, actor=ALICE)
                return True
            return False

        both = (pin(), delete()) if number % 2 else (delete(), pin())
        outcomes.add(tuple(await asyncio.gather(*both)))
    assert outcomes <= {(True, False), (False, True)}, outcomes
