"""Reading all blobs again, slowly: what is due when, what is found, and that others do no harm."""

import asyncio
import hashlib
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from pierhead.blobs.files import FileStore
from pierhead.blobs.objects.store import ObjectStore
from pierhead.blobs.store import BlobStore
from pierhead.errors import StorageFailed
from pierhead.metadata import blobs as blob_rows
from pierhead.metadata import damage as damage_rows
from pierhead.metadata import scrubs as rows
from pierhead.metadata.database import Database
from pierhead.models import Blob, Digest, Doomed
from pierhead.registry.damage import Damage
from pierhead.registry.scrub import Scrub, coverage
from pierhead.settings import ScrubSettings, StorageSettings
from tests.blobs.objects.buckets import SERVICES
from tests.contracts.blob_store import push
from tests.contracts.database import Place

pytestmark = pytest.mark.anyio

DAY = 86_400_000_000
FAST = ScrubSettings(days=30, rate_bytes=0)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Registry:
    database: Database
    store: BlobStore
    found: list[tuple[str, str]] = field(default_factory=list)

    def scrub(self, settings: ScrubSettings = FAST) -> Scrub:
        damage = Damage(self.database, self.store, lambda by, what: self.found.append((by, what)))
        return Scrub(self.database, self.store, damage, settings)

    async def add(self, content: bytes) -> Blob:
        blob = Blob(
            Digest(f"sha256:{hashlib.sha256(content).hexdigest()}"), len(content), await push(self.store, content)
        )
        await self.database.write(partial(blob_rows.put, blob=blob))
        return blob

    async def pass_time(self, days: float) -> None:
        """Lets the cycle have begun so much earlier."""
        await self.database.write(
            lambda tx: tx.execute("UPDATE scrubs SET began_at = began_at - :by", by=int(days * DAY))
        )

    async def damaged(self) -> dict[str, str | None]:
        page = await self.database.read(partial(damage_rows.page, after="", limit=100))
        return {blob.digest: blob.damage for blob in page}

    async def state(self) -> rows.Scrubbed:
        state = await self.database.read(rows.find)
        assert state is not None
        return state


async def run(scrub: Scrub) -> None:
    while await scrub.go():
        pass


@pytest.fixture(params=["files", "s3"])
async def registry(request: pytest.FixtureRequest, place: Place, tmp_path: Path) -> AsyncIterator[Registry]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(place.open())
        store: BlobStore
        if request.param == "files":
            store = await stack.enter_async_context(FileStore(tmp_path, StorageSettings(min_free_bytes=0)))
        else:
            bucket = await stack.enter_async_context(SERVICES["s3"](request).open())
            store = await stack.enter_async_context(ObjectStore(bucket, StorageSettings()))
        yield Registry(database, store)


@pytest.fixture
async def blobs(registry: Registry) -> list[Blob]:
    return [await registry.add(random.Random(seed).randbytes(20_000 + seed)) for seed in range(12)]


async def test_an_empty_registry_writes_nothing(registry: Registry) -> None:
    assert not await registry.scrub().wanted()


async def test_a_cycle_reads_each_blob_once_over_its_days(registry: Registry, blobs: list[Blob]) -> None:
    scrub = registry.scrub()
    assert await scrub.wanted()
    await run(scrub)
    assert not await scrub.wanted()
    read = []
    for _ in range(29):
        await registry.pass_time(1)
        await run(scrub)
        read.append((await registry.state()).blobs)

    assert read == sorted(read)
    assert 2 < read[14] < len(blobs)  # half of them in half the time, as chance has it
    before = await registry.state()
    await registry.pass_time(2)
    assert await scrub.wanted()
    await run(scrub)
    state = await registry.state()
    assert (state.whole_blobs, state.whole_bytes, state.whole_damaged) == (12, sum(blob.size for blob in blobs), 0)
    assert (state.blobs, state.reached, coverage(state)) == (0, "", 0.0)
    assert 0.5 < coverage(before) < 1.0
    assert not await scrub.wanted()


async def test_damage_is_found_told_and_set_aside(registry: Registry, blobs: list[Blob]) -> None:
    missing, altered, cut = blobs[:3]
    await registry.store.remove([Doomed(missing.key, missing.digest)])
    await repoint(registry, altered, random.Random(99).randbytes(altered.size))
    await repoint(registry, cut, b"x" * 100)
    scrub = registry.scrub()
    await run(scrub)
    await registry.pass_time(31)
    await run(scrub)

    assert await registry.damaged() == {
        missing.digest: "missing",
        altered.digest: "other bytes than its digest says",
        cut.digest: f"has 100 bytes, not {cut.size}",
    }
    assert sorted(registry.found) == [("scrub", "altered"), ("scrub", "cut short"), ("scrub", "missing")]
    assert (await registry.state()).whole_damaged == 3
    assert (await scrub.numbers()).damaged == 3


async def repoint(registry: Registry, blob: Blob, content: bytes) -> None:
    """The blob has other bytes, as a disk may make them."""
    key = await push(registry.store, content)
    await registry.database.write(
        lambda tx: tx.execute("UPDATE blobs SET key = :key WHERE digest = :digest", key=key, digest=blob.digest)
    )


async def test_what_is_sound_again_is_called_damaged_no_more(registry: Registry, blobs: list[Blob]) -> None:
    await registry.database.write(partial(damage_rows.mark, blob=blobs[0], damage="missing"))
    scrub = registry.scrub()
    await run(scrub)
    await registry.pass_time(31)
    await run(scrub)

    assert await registry.damaged() == {}


async def test_two_workers_at_once_read_each_portion_once(registry: Registry, blobs: list[Blob]) -> None:
    one, other = registry.scrub(), registry.scrub()
    await run(one)
    await registry.pass_time(29.999)
    await asyncio.gather(*(run(scrub) for scrub in (one, other, registry.scrub())))
    await run(one)

    assert (await registry.state()).blobs == len(blobs)


async def test_a_store_that_fails_damages_nothing(
    registry: Registry, blobs: list[Blob], monkeypatch: pytest.MonkeyPatch
) -> None:
    scrub = registry.scrub()
    await run(scrub)
    await registry.pass_time(29.999)
    healthy = registry.store.open

    async def fail(*_: object) -> None:
        raise StorageFailed("on purpose")

    monkeypatch.setattr(registry.store, "open", fail)
    await run(scrub)  # one blob after another: the store itself answers
    assert await registry.damaged() == {}
    await registry.pass_time(2)
    await run(scrub)
    await registry.pass_time(29.999)
    monkeypatch.setattr(registry.store, "ping", fail)
    before = await registry.state()
    with pytest.raises(StorageFailed):
        await run(scrub)
    assert await registry.state() == before
    monkeypatch.setattr(registry.store, "open", healthy)
    await run(scrub)
    assert (await registry.state()).blobs == len(blobs)


async def test_a_key_is_missing_only_where_the_store_answers(
    registry: Registry, blobs: list[Blob], monkeypatch: pytest.MonkeyPatch
) -> None:
    await registry.store.remove([Doomed(blobs[0].key, blobs[0].digest)])

    async def fail() -> None:
        raise StorageFailed("on purpose")

    monkeypatch.setattr(registry.store, "ping", fail)
    scrub = registry.scrub()
    await run(scrub)
    await registry.pass_time(29.999)
    with pytest.raises(StorageFailed):
        await run(scrub)

    assert await registry.damaged() == {}


async def test_the_memory_of_others_is_spared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read from the disk is given up again; what was in memory is not."""
    content = random.Random(5).randbytes(3 * 1024 * 1024 + 17)
    dropped: list[tuple[int, int]] = []
    advise: Callable[[int, int, int, int], None] = os.posix_fadvise

    def watched(descriptor: int, start: int, length: int, advice: int) -> None:
        if advice == os.POSIX_FADV_DONTNEED:
            dropped.append((start, length))
        advise(descriptor, start, length, advice)

    async with FileStore(tmp_path, StorageSettings(min_free_bytes=0)) as store:
        key = await push(store, content)
        monkeypatch.setattr(os, "posix_fadvise", watched)
        reader = await store.open(key)
        warm = b"".join([bytes(chunk) async for chunk in reader.passing()])  # type: ignore[attr-defined]  # of files
        assert (warm, dropped) == (content, [])
        monkeypatch.setattr(type(reader), "_cached", lambda *_: b"")
        cold = b"".join([bytes(chunk) async for chunk in reader.passing()])  # type: ignore[attr-defined]  # of files
        reader.close()

    assert cold == content
    assert sum(length for _, length in dropped) == len(content)
