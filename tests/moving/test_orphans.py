"""Bytes that no row names are removed so that nobody can name them afterwards, however late."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pierhead.blobs.files import FileStore
from pierhead.blobs.objects.store import ObjectStore
from pierhead.blobs.store import BlobStore, Lists
from pierhead.errors import BlobMissing, KeyRemoved
from pierhead.metadata import blobs as blob_rows
from pierhead.metadata.database import Database
from pierhead.models import Actor, Digest, Doomed, RepositoryName
from pierhead.moving import orphans
from pierhead.registry.marks import Marks
from pierhead.registry.uploads import Uploads
from pierhead.settings import StorageSettings, UploadSettings
from tests.blobs.objects.buckets import SERVICES
from tests.contracts.database import Place

pytestmark = pytest.mark.anyio

APP = RepositoryName("team/app")
# Too long for a row, and too short for parts: an object store gets it in one piece, and no row knows of it before.
CONTENT = random.Random(17).randbytes(100_000)
DIGEST = Digest(f"sha256:{hashlib.sha256(CONTENT).hexdigest()}")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Slow:
    """A database that lets something happen just before a push writes its rows."""

    inner: Database
    store: BlobStore
    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def write(self, operation: Any, *, durable: bool = True) -> Any:
        if self.meanwhile and await keys(self.store):
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return await self.inner.write(operation, durable=durable)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def keys(store: BlobStore) -> list[str]:
    assert isinstance(store, Lists)
    return [one.key async for one in store.listed()]


@dataclass
class Registry:
    database: Slow
    store: BlobStore
    uploads: Uploads
    removed: list[bool] = field(default_factory=list)

    async def push(self) -> None:
        upload = await self.uploads.start(APP)
        async with self.uploads.receive(APP, upload.id) as receiving:
            await receiving.write(CONTENT)
            await receiving.finish(DIGEST, actor=Actor("alice"))

    async def remove_all(self) -> None:
        for key in await keys(self.store):
            self.removed.append(await orphans.remove(self.database.inner, self.store, key))

    async def pulled(self) -> bytes:
        blob = await self.database.read(lambda tx: blob_rows.held(tx, APP, DIGEST))
        reader = await self.store.open(blob.key)
        try:
            return b"".join([bytes(chunk) async for chunk in reader.chunks(0, blob.size)])
        finally:
            reader.close()


@pytest.fixture(params=["files", "s3"])
async def registry(request: pytest.FixtureRequest, place: Place, tmp_path: Path) -> AsyncIterator[Registry]:
    async with AsyncExitStack() as stack:
        inner = await stack.enter_async_context(place.open())
        store: BlobStore
        if request.param == "files":
            store = await stack.enter_async_context(FileStore(tmp_path, StorageSettings(min_free_bytes=0)))
        else:
            bucket = await stack.enter_async_context(SERVICES["s3"](request).open())
            store = await stack.enter_async_context(ObjectStore(bucket, StorageSettings()))
        database = Slow(inner, store)
        yield Registry(database, store, Uploads(database, store, Marks(database, store), UploadSettings()))


async def test_a_push_that_comes_too_late_names_nothing_that_was_removed(registry: Registry) -> None:
    registry.database.meanwhile = registry.remove_all

    with pytest.raises(KeyRemoved):
        await registry.push()

    assert registry.removed == [True]
    assert await registry.database.read(lambda tx: blob_rows.stored(tx, DIGEST)) is None
    assert await keys(registry.store) == []
    await registry.push()
    assert await registry.pulled() == CONTENT


async def test_what_a_row_names_is_no_orphan(registry: Registry) -> None:
    await registry.push()
    await registry.remove_all()

    assert registry.removed == [False]
    assert await registry.pulled() == CONTENT


async def test_of_a_push_and_a_removal_at_once_either_one_wins(registry: Registry) -> None:
    """Whichever it is, a blob whose push was acknowledged is there, and one that was refused has no row."""
    won = set()
    for _ in range(12):
        go = asyncio.Event()

        async def meanwhile(go: asyncio.Event = go) -> None:
            go.set()

        async def remove(go: asyncio.Event = go) -> None:
            await go.wait()
            await registry.remove_all()

        registry.database.meanwhile = meanwhile
        pushed, _ = await asyncio.gather(registry.push(), remove(), return_exceptions=True)
        won.add(type(pushed))
        if pushed is None:
            assert await registry.pulled() == CONTENT
        else:
            assert isinstance(pushed, KeyRemoved)
            assert await registry.database.read(lambda tx: blob_rows.stored(tx, DIGEST)) is None
        await forget(registry)

    assert won <= {type(None), KeyRemoved}


async def forget(registry: Registry) -> None:
    """Nobody ever pushed it."""
    for table in ("repository_blobs", "unreferenced_blobs", "owed_marks", "blobs"):
        await registry.database.write(lambda tx, table=table: tx.execute(f"DELETE FROM {table}"))
    for key in await keys(registry.store):
        await registry.store.remove([Doomed(key, None)])
        with pytest.raises(BlobMissing):
            await registry.store.open(key)
