"""Upload sessions over nodes that share files and a database, each node with a boot of its own."""

import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from pierhead.blobs.files import FileStore
from pierhead.errors import UploadBusy
from pierhead.metadata import blobs as blob_rows
from pierhead.metadata.sqlite import engine
from pierhead.metadata.sqlite.database import SqliteDatabase
from pierhead.models import Actor, Digest, RepositoryName, Upload
from pierhead.registry.marks import Marks
from pierhead.registry.uploads import Uploads
from pierhead.settings import StorageSettings, UploadSettings

pytestmark = pytest.mark.anyio

APP = RepositoryName("team/app")
CONTENT = random.Random(11).randbytes(3_000_017)
DIGEST = Digest(f"sha256:{hashlib.sha256(CONTENT).hexdigest()}")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[list[Uploads]]:
    engine.prepare(tmp_path / "pierhead.db")
    async with AsyncExitStack() as stack:
        found = []
        for number in range(3):
            store = await stack.enter_async_context(FileStore(tmp_path, StorageSettings(min_free_bytes=0)))
            store.boot = f"boot of node {number}"
            database = await stack.enter_async_context(SqliteDatabase(tmp_path / "pierhead.db"))
            found.append(Uploads(database, store, Marks(database, store), UploadSettings()))
        yield found


async def patch(node: Uploads, upload: Upload, content: bytes) -> Upload:
    async with node.receive(APP, upload.id) as receiving:
        await receiving.write(content)
        return await receiving.accept()


async def test_each_request_of_an_upload_may_reach_another_node(nodes: list[Uploads]) -> None:
    first, second, third = nodes
    upload = await first.start(APP)

    await patch(first, upload, CONTENT[:1_000_000])
    assert (await third.find(APP, upload.id)).offset == 1_000_000
    await patch(second, upload, CONTENT[1_000_000:2_000_000])
    async with third.receive(APP, upload.id) as receiving:
        await receiving.write(CONTENT[2_000_000:])
        await receiving.finish(DIGEST, actor=Actor("alice"))

    blob = await first._database.read(lambda tx: blob_rows.held(tx, APP, DIGEST))
    assert blob is not None
    reader = await first._store.open(blob.key)
    assert b"".join([bytes(chunk) async for chunk in reader.chunks(0, reader.size)]) == CONTENT
    reader.close()


async def test_a_writer_at_another_node_is_noticed(nodes: list[Uploads]) -> None:
    upload = await nodes[0].start(APP)
    async with nodes[0].receive(APP, upload.id) as receiving:
        await receiving.write(b"first")
        with pytest.raises(UploadBusy):
            await patch(nodes[1], upload, b"second")
        await receiving.accept()
