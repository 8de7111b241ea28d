"""Why content is here, and what it takes up, where histories made up at random are seldom."""

import asyncio
from pathlib import Path

import pytest

from pierhead.errors import ContentUnknown
from pierhead.metadata import usage
from pierhead.metadata.database import Row, Transaction, Value
from pierhead.metadata.usage import Scope, Stretch
from pierhead.models import Digest, TagName
from tests.contracts.database import Place
from tests.registry.acting import ALICE, APP, INDEX, OTHER, acting, digest_of, image, index, push

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_blob_tells_its_manifests_with_their_indexes_and_tags(place: Place, tmp_path: Path) -> None:
    async with acting(place, tmp_path) as registry:
        child = await push(registry, APP, "", "child")
        parent = index(image("child"))
        await registry.manifests.push(APP, TagName("v1"), parent, content_type=INDEX, actor=ALICE)

        blob = (await registry.explaining.why(digest_of(b"{}"))).blob
        assert blob is not None
        [reason] = blob.needed_by
        assert (reason.place.digest, reason.tags) == (child, ())
        assert [(one.digest, one.tags) for one in reason.indexes] == [(digest_of(parent), ("v1",))]
        removal = await registry.usage.of_manifest(APP, TagName("v1"))
        assert set(removal.manifests) == {child, digest_of(parent)}
        assert removal.tags == ("v1",)
        refused = await registry.usage.of_manifest(APP, child)
        assert refused.refused == f"{child} is part of {digest_of(parent)}"


async def test_of_much_there_is_how_much_and_the_first(place: Place, tmp_path: Path) -> None:
    async with acting(place, tmp_path) as registry:
        pushed = [await push(registry, APP, f"v{number}", str(number)) for number in range(7)]
        await push(registry, OTHER, "v1", "other")

        blob = (await registry.explaining.why(digest_of(b"{}"), limit=3)).blob
        assert blob is not None
        assert (blob.holders, blob.manifests) == (2, 8)
        assert [reason.place.digest for reason in blob.needed_by] == pushed[:3]


async def test_asking_what_deleting_frees_changes_nothing(place: Place, tmp_path: Path) -> None:
    async with acting(place, tmp_path) as registry:
        digest = await push(registry, APP, "v1", "one")
        before = await registry.explaining.why(digest)

        await registry.usage.of_manifest(APP, digest)
        assert (await registry.manifests.find(APP, TagName("v1"))).digest == digest
        assert await registry.explaining.why(digest) == before
        assert await registry.trash.page(size=10) == []


async def test_what_is_in_the_trash_says_so_and_until_when(place: Place, tmp_path: Path) -> None:
    async with acting(place, tmp_path) as registry:
        digest = await push(registry, APP, "v1", "one")
        await registry.manifests.delete(APP, digest, actor=ALICE)
        [listed] = await registry.trash.page(size=10)

        explained = await registry.explaining.why(digest)
        assert explained.manifest is not None
        assert [reason.place.kept_until for reason in explained.manifest.places] == [listed.entry.goes_at]
        space = await registry.usage.of_repository(APP)
        assert space.trash == space.exclusive == space.total
        assert space.trash.bytes == len(image("one")) + len(b"{}") == listed.weight.bytes


async def test_a_digest_that_nothing_has_is_unknown(place: Place, tmp_path: Path) -> None:
    async with acting(place, tmp_path) as registry:
        with pytest.raises(ContentUnknown):
            await registry.explaining.why(Digest("sha256:" + "0" * 64))


async def test_a_project_of_many_repositories_is_counted_like_a_small_one(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with acting(place, tmp_path) as registry:
        for number in range(4):
            await push(registry, APP, f"v{number}", str(number))
            await push(registry, OTHER, f"v{number}", f"other {number}")
        await push(registry, OTHER, "same", "0")
        small = await registry.usage.of_project("team")
        monkeypatch.setattr("pierhead.metadata.usage._WIDE", 1)

        assert await registry.usage.of_project("team") == small
        assert small.total.digests == small.exclusive.digests == 9


async def test_what_only_the_trash_of_another_repository_needs_is_shared(place: Place, tmp_path: Path) -> None:
    """It holds the blob no more, and lists it still."""
    async with acting(place, tmp_path) as registry:
        await push(registry, APP, "v1", "one")
        away = await push(registry, OTHER, "v1", "other")
        await registry.manifests.delete(OTHER, away, actor=ALICE)
        await registry.blobs.delete(OTHER, digest_of(b"{}"), actor=ALICE)

        for one in (APP, OTHER):
            space = await registry.usage.of_repository(one)
            assert (space.shared.digests, space.shared.bytes) == (1, len(b"{}"))
            assert space.exclusive.digests == 1


async def test_others_have_their_turn_while_the_whole_is_counted(at_sqlite: str, tmp_path: Path) -> None:
    async with acting(Place("sqlite", at_sqlite), tmp_path) as registry:
        await push(registry, APP, "v1", "one")
        counting = asyncio.create_task(registry.usage.of_registry())
        turns = 0
        while not counting.done():
            await asyncio.sleep(0)
            turns += 1

        assert turns > 4


@pytest.mark.parametrize(
    "scope", [Scope("repository", 1), Scope("project", 1), Scope("project", 1, wide=True), Scope("registry", wide=True)]
)
async def test_no_table_is_read_through_for_a_stretch_of_it(scope: Scope, at_sqlite: str) -> None:
    stretch = Stretch("sha256:0", "sha256:1")

    async def plans(tx: Transaction) -> list[str]:
        planned = Planned(tx)
        for ask in (usage.blobs, usage.manifests, *([] if scope.wide else [usage.not_held])):
            await ask(planned, scope, stretch)  # type: ignore[arg-type]  # it is asked for plans only
        return planned.steps

    async with Place("sqlite", at_sqlite).open() as database:
        steps = await database.read(plans)
        assert steps
        # A part of a statement may be gone through, a table may not.
        assert [step for step in steps if step.startswith("SCAN") and step not in {"SCAN own", "SCAN found"}] == []


class Planned:
    """A transaction that asks how a statement would be answered."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.steps: list[str] = []

    async def fetch_all(self, sql: str, **parameters: Value) -> list[Row]:
        self.steps += [row[3] for row in await self._tx.fetch_all(f"EXPLAIN QUERY PLAN {sql}", **parameters)]
        return []
