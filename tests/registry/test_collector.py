"""Collecting what nobody needs, on each database, with files."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from pierhead.blobs.files import FileStore
from pierhead.errors import BlobUnknown, StorageFailed
from pierhead.metadata import holds
from pierhead.metadata.database import Database
from pierhead.models import Actor, Digest, Doomed, RepositoryName, TagName
from pierhead.registry.collector import Freed, Step, rest_after
from pierhead.registry.registry import Registry
from pierhead.settings import Settings, StorageSettings
from tests.contracts.database import Place
from tests.invariants import violations

pytestmark = pytest.mark.anyio

APP, OTHER = RepositoryName("team/app"), RepositoryName("team/other")
ACTOR = Actor("alice")
MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"
LARGE = b"x" * 40_000  # bytes: more than are kept beside a row


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass(frozen=True, slots=True)
class Here:
    """A registry whose blobs are collected as soon as nobody has a lease."""

    database: Database
    store: FileStore
    registry: Registry
    folder: Path

    async def push(self, content: bytes, repository: RepositoryName = APP) -> Digest:
        digest = digest_of(content)
        upload = await self.registry.uploads.start(repository)
        async with self.registry.uploads.receive(repository, upload.id) as receiving:
            await receiving.write(content)
            await receiving.finish(digest, actor=ACTOR)
        return digest

    async def tag(self, name: str, *blobs: Digest, repository: RepositoryName = APP) -> Digest:
        config = await self.push(f"config of {name}".encode(), repository)
        document = {
            "schemaVersion": 2,
            "mediaType": MEDIA_TYPE,
            "config": {"mediaType": "application/json", "digest": config, "size": 1},
            "layers": [{"mediaType": "application/x", "digest": blob, "size": 1} for blob in blobs],
        }
        content = json.dumps(document).encode()
        pushed = await self.registry.manifests.push(
            repository, TagName(name), content, content_type=MEDIA_TYPE, actor=ACTOR
        )
        return pushed.digest

    async def wait(self, seconds: float = 0.0) -> None:
        """Lets all leases end."""
        await asyncio.sleep(seconds)
        await self.run("UPDATE unreferenced_blobs SET leased_until = 0")

    async def run(self, sql: str) -> None:
        async def execute(tx: object) -> None:
            await tx.execute(sql)  # type: ignore[attr-defined]

        await self.database.write(execute)

    async def collected(self, **options: float) -> list[Freed]:
        steps: list[Step] = [step async for step in self.registry.collector.run(rests=False, **options)]
        return [freed for step in steps for freed in step.freed]

    async def removed(self) -> int:
        """How many keys a run removes the bytes of."""
        return sum([step.removed async for step in self.registry.collector.run(rests=False)])

    async def previewed(self) -> list[Freed]:
        return [freed async for freed in self.registry.collector.preview()]

    def files(self) -> set[str]:
        return {f"sha256:{path.name.partition('.')[0]}" for path in self.folder.glob("blobs/*/*/*")}


def digest_of(content: bytes) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(content).hexdigest()}")


@pytest.fixture
async def here(place: Place, tmp_path: Path) -> AsyncIterator[Here]:
    settings = Settings.model_validate({"collection": {"grace_hours": 0}})
    async with place.open() as database, FileStore(tmp_path, StorageSettings(min_free_bytes=0)) as store:
        yield Here(database, store, Registry(database, store, settings, copies=store), tmp_path)
        assert await violations(database) == []


async def test_what_no_manifest_needs_goes_with_its_bytes(here: Here) -> None:
    kept, stray = await here.push(LARGE), await here.push(LARGE + b"stray")
    await here.tag("v1", kept)
    await here.wait()

    freed = await here.collected()

    assert [(one.digest, one.size) for one in freed] == [(stray, len(LARGE) + 5)]
    assert here.files() == {kept}
    with pytest.raises(BlobUnknown):
        await here.registry.blobs.find(APP, stray)
    assert (await here.registry.blobs.find(APP, kept)).size == len(LARGE)


async def test_nothing_goes_before_its_lease_or_its_grace_is_over(here: Here) -> None:
    await here.push(LARGE)

    leased = await here.collected()
    await here.wait()
    young = await here.collected(grace_hours=1)
    due = await here.collected()

    assert (len(leased), len(young), len(due)) == (0, 0, 1)


async def test_bytes_beside_a_row_go_with_it(here: Here) -> None:
    upload = await here.registry.uploads.start(APP)
    small = digest_of(b"small")
    await here.registry.uploads.push(upload, small, b"small", actor=ACTOR)
    await here.wait()

    assert [one.digest for one in await here.collected()] == [small]
    assert await here.database.read(lambda tx: tx.fetch_all("SELECT digest FROM blob_contents")) == []


async def test_what_another_repository_needs_is_let_go_of_and_stays(here: Here) -> None:
    shared = await here.push(LARGE)
    await here.tag("v1", shared)
    await here.push(LARGE, OTHER)
    await here.wait()

    assert await here.collected() == []
    assert here.files() == {shared}
    with pytest.raises(BlobUnknown):
        await here.registry.blobs.find(OTHER, shared)


async def test_a_blob_that_the_trash_needs_stays(here: Here) -> None:
    blob = await here.push(LARGE)
    manifest = await here.tag("v1", blob)
    await here.registry.manifests.delete(APP, manifest, actor=ACTOR)
    await here.wait()

    assert await here.collected() == []
    assert here.files() == {blob}


async def test_a_blob_of_many_holders_goes_with_the_last(here: Here) -> None:
    blob = await here.push(LARGE)
    await here.push(LARGE, OTHER)
    await here.run(
        "UPDATE unreferenced_blobs SET leased_until = 0 WHERE since = (SELECT min(since) FROM unreferenced_blobs)"
    )

    assert await here.collected() == []
    await here.wait()
    [freed] = await here.collected()

    assert (freed.digest, [one.repository for one in freed.unneeded]) == (blob, [OTHER])


async def test_a_deleted_blob_has_its_grace_too(here: Here) -> None:
    await here.registry.blobs.delete(APP, await here.push(LARGE), actor=ACTOR)
    await here.wait()

    assert await here.collected(grace_hours=1) == []
    assert len(await here.collected()) == 1


async def test_while_somebody_copies_nothing_is_removed(here: Here) -> None:
    stray = await here.push(LARGE)
    await here.wait()
    await here.database.write(lambda tx: holds.take(tx, "backup", seconds=60))

    await here.run("INSERT INTO doomed_keys (key, doomed_at) SELECT key, 0 FROM blobs")

    steps = [step async for step in here.registry.collector.run(rests=False)]
    await here.run("DELETE FROM doomed_keys")

    assert any(step.paused for step in steps)
    assert sum(step.removed for step in steps) == 0
    assert here.files() == {stray}


async def test_a_repeated_push_of_what_went_is_a_new_blob_under_a_new_key(here: Here) -> None:
    """So a removal that comes late, by a process that slept, can never hit the new bytes."""
    await here.push(LARGE)
    await here.wait()
    [(old,)] = await here.database.read(lambda tx: tx.fetch_all("SELECT key FROM blobs"))
    await here.collected()
    digest = await here.push(LARGE)

    await here.store.remove([Doomed(old, digest)])

    blob = await here.registry.blobs.find(APP, digest)
    assert blob.key != old
    (await here.registry.blobs.open(APP, blob)).close()


async def test_two_at_once_do_no_harm(here: Here) -> None:
    strays = {await here.push(LARGE + b"%d" % number) for number in range(20)}
    await here.wait()

    first, second = await asyncio.gather(here.collected(), here.collected())

    assert sorted(one.digest for one in first + second) == sorted(strays)
    assert here.files() == set()


async def test_one_that_dies_between_any_two_steps_leaves_the_rest_to_the_next(here: Here) -> None:
    await here.push(LARGE)
    await here.wait()
    step, _ = await here.registry.collector.collect()  # and no removal
    assert len(step.freed) == 1
    assert len(here.files()) == 1

    assert await here.removed() == 1
    assert here.files() == set()


async def test_bytes_go_together_in_the_order_of_their_keys(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):  # more than one step looks at
        await here.push(LARGE + b"%d" % number)
    await here.wait()
    removed: list[list[str]] = []
    remove = here.store.remove

    async def noted(keys: Sequence[Doomed]) -> None:
        removed.append([one.key for one in keys])
        await remove(keys)

    monkeypatch.setattr(here.store, "remove", noted)
    steps = [step async for step in here.registry.collector.run()]

    assert [len(step.freed) for step in steps if step.freed] == [32, 8]
    assert [len(keys) for keys in removed] == [40]
    assert removed[0] == sorted(removed[0])
    assert here.files() == set()


async def test_bytes_that_cannot_be_removed_hold_up_nothing_else(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    await here.push(LARGE)
    await here.wait()
    remove = here.store.remove

    async def fails(_: object) -> None:
        raise StorageFailed("EIO")

    monkeypatch.setattr(here.store, "remove", fails)
    with pytest.raises(StorageFailed):
        await here.collected()
    monkeypatch.setattr(here.store, "remove", remove)

    assert len(here.files()) == 1
    assert await here.removed() == 1
    assert here.files() == set()


async def test_a_preview_names_what_then_goes_and_why(here: Here) -> None:
    await here.tag("v1", await here.push(LARGE))
    strays = {await here.push(LARGE + b"%d" % number) for number in range(3)}
    await here.push(LARGE + b"1", OTHER)
    await here.wait()

    previewed = await here.previewed()
    freed = await here.collected()

    assert {one.digest for one in previewed} == strays
    assert sorted(previewed, key=lambda one: one.digest) == sorted(freed, key=lambda one: one.digest)


async def test_copies_of_what_is_gone_go_too_and_come_back_with_it(here: Here) -> None:
    async def push() -> None:
        upload = await here.registry.uploads.start(APP)
        await here.registry.uploads.push(upload, digest_of(b"small"), b"small", actor=ACTOR)

    async def pay() -> bool:
        assert here.registry.copies
        while await here.registry.copies.pay():
            pass
        return (here.folder / "copies/blobs/sha256" / digest_of(b"small").hex).exists()

    await push()
    there = [await pay()]
    await here.wait()
    await here.collected()
    there.append(await pay())
    await push()
    await here.wait()
    await here.collected()
    await push()
    there.append(await pay())

    assert there == [True, False, True]


async def test_a_read_whose_bytes_are_gone_looks_the_row_up_once_more(here: Here) -> None:
    digest = await here.push(LARGE)
    found = await here.registry.blobs.find(APP, digest)
    await here.wait()
    await here.collected()

    with pytest.raises(BlobUnknown):
        await here.registry.blobs.open(APP, found)
    await here.push(LARGE)
    reader = await here.registry.blobs.open(APP, found)

    assert reader.size == len(LARGE)
    reader.close()


@pytest.mark.parametrize(("took", "computed", "share"), [(0.010, 0.010, 0.2), (0.010, 0.008, 0.2), (1.0, 0.997, 0.5)])
def test_a_step_that_nobody_disturbed_has_its_share(took: float, computed: float, share: float) -> None:
    assert rest_after(took, computed, share=share) == pytest.approx(took * (1 / share - 1))


def test_it_rests_for_longer_after_a_step_that_waited_for_others() -> None:
    alone, waited = rest_after(0.1, 0.1, share=0.2), rest_after(0.1, 0.02, share=0.2)

    assert 2 * alone < waited < 5 * alone
