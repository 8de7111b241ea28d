"""Pulling blobs without a wire."""

import os
from pathlib import Path

import pytest

from pierhead.blobs.files import FileStore
from pierhead.metadata.sqlite.database import SqliteDatabase
from pierhead.metadata.unreferenced import Lease
from pierhead.models import Blob, RepositoryName
from pierhead.registry.blobs import Blobs
from pierhead.registry.clock import Clock
from pierhead.registry.contents import Contents
from pierhead.registry.deleting import Deleting
from pierhead.settings import StorageSettings
from tests.contracts.blob_store import push

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_small_blob_is_whole_though_the_kernel_reads_it_bit_by_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, read = os.urandom(30_000), os.preadv

    def short(descriptor: int, buffers: list[bytearray], offset: int, flags: int) -> int:
        return read(descriptor, [memoryview(buffers[0])[:4096]], offset, flags)

    async with SqliteDatabase(tmp_path / "pierhead.db") as database, FileStore(tmp_path, StorageSettings()) as store:
        contents = Contents(100_000, item_max=32 * 1024)
        blobs = Blobs(database, store, contents, clock=Clock(database), deleting=Deleting(1), lease=Lease(60))
        blob = Blob(digest="unused", size=len(content), key=await push(store, content))  # type: ignore[arg-type]  # never looked at
        app = RepositoryName("team/app")
        monkeypatch.setattr(os, "preadv", short)

        assert await blobs.content(app, blob) == content
        assert await blobs.content(app, blob) == content
