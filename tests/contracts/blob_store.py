"""The stores that the blob store contract is kept by, and what its tests say often.

A store of another kind becomes one more entry of STORES.
"""

import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pierhead.blobs.files import FileStore
from pierhead.blobs.store import BlobStore
from pierhead.models import Part, RepositoryName, Upload
from pierhead.settings import StorageSettings

Opens = Callable[[Path], AbstractAsyncContextManager[BlobStore]]


@asynccontextmanager
async def files(folder: Path) -> AsyncIterator[BlobStore]:
    async with FileStore(folder, StorageSettings(min_free_bytes=0)) as store:
        yield store


class Row:
    """The `Ledger` of a session whose row is what `find` says."""

    def __init__(self, find: Callable[[], Coroutine[Any, Any, Upload]]) -> None:
        self.refresh = find
        self.notes: list[str] = []
        self.taken: list[Part] = []

    async def note(self, notes: str) -> None:
        self.notes.append(notes)

    async def parts(self) -> list[Part]:
        return self.taken


STORES: dict[str, Opens] = {"files": files}


def session(algorithm: str = "sha256") -> Upload:
    """The row of an upload that has just begun."""
    return Upload(
        id=str(uuid.uuid4()), repository=RepositoryName("team/app"), algorithm=algorithm, offset=0, epoch=0
    )  # fmt: skip


async def patch(store: BlobStore, upload: Upload, *frames: bytes) -> Upload:
    """Sends some of an upload's bytes; the row that a PATCH would leave."""
    async with store.append(upload) as appender:
        for frame in frames:
            await appender.write(frame)
        accepted = await appender.flush()
    return replace(upload, offset=accepted.offset, state=accepted.state, boot=accepted.boot)


async def finish(store: BlobStore, upload: Upload, *frames: bytes) -> str:
    """Sends the rest of an upload and commits it, as a PUT does up to the row; returns the key."""
    async with store.append(upload) as appender:
        for frame in frames:
            await appender.write(frame)
        return await appender.commit(await appender.digest(upload.algorithm))


async def push(store: BlobStore, data: bytes) -> str:
    upload = session()
    key = await finish(store, upload, data)
    await store.discard(upload)
    return key


async def pull(store: BlobStore, key: str) -> bytes:
    reader = await store.open(key)
    try:
        return b"".join([bytes(chunk) async for chunk in reader.chunks(0, reader.size)])
    finally:
        reader.close()
