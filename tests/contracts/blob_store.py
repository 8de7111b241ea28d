"""The stores that the blob store contract is kept by, and what its tests say often.

A store of another kind becomes one more entry of STORES.
"""

import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pierhead.blobs.files import FileStore
from pierhead.blobs.objects.store import ObjectStore
from pierhead.blobs.store import Accepted, Appender, BlobStore
from pierhead.models import Part, RepositoryName, Upload
from pierhead.settings import StorageSettings
from tests.blobs.objects.buckets import SERVICES

Opens = Callable[[Path], AbstractAsyncContextManager[BlobStore]]
Kind = Callable[[pytest.FixtureRequest], Opens]


@asynccontextmanager
async def files(folder: Path) -> AsyncIterator[BlobStore]:
    async with FileStore(folder, StorageSettings(min_free_bytes=0)) as store:
        yield store


def objects(service: str) -> Kind:
    """Of a new bucket at a real server."""

    def kind(request: pytest.FixtureRequest) -> Opens:
        opener = replace(SERVICES[service](request), budget_seconds=10)

        @asynccontextmanager
        async def opened(folder: Path) -> AsyncIterator[BlobStore]:
            async with opener.open() as bucket, ObjectStore(bucket, StorageSettings()) as store:
                yield store

        return opened

    return kind


STORES: dict[str, Kind] = {"files": lambda _: files, **{service: objects(service) for service in SERVICES}}


class Row:
    """The `Ledger` of a session whose row is what `find` says."""

    def __init__(self, upload: Upload, find: Callable[[], Coroutine[Any, Any, Upload]] | None = None) -> None:
        self._upload = upload
        self._find = find

    async def refresh(self) -> Upload:
        return await self._find() if self._find else self._upload

    async def note(self, notes: str) -> None:
        NOTES[self._upload.id] = notes

    async def parts(self) -> list[Part]:
        return PARTS.get(self._upload.id, [])


# The rows of all sessions, as far as an `Upload` does not hold them.
PARTS: dict[str, list[Part]] = {}
NOTES: dict[str, str] = {}


def writing(store: BlobStore, upload: Upload) -> AbstractAsyncContextManager[Appender]:
    return store.append(upload, Row(upload))


def taken(upload: Upload, accepted: Accepted) -> Upload:
    """The row after its bytes were accepted."""
    PARTS.setdefault(upload.id, []).extend(accepted.parts)
    return replace(upload, offset=accepted.offset, state=accepted.state, boot=accepted.boot, notes=accepted.notes)


def session(algorithm: str = "sha256") -> Upload:
    """The row of an upload that has just begun."""
    return Upload(
        id=str(uuid.uuid4()), repository=RepositoryName("team/app"), algorithm=algorithm, offset=0, epoch=0
    )  # fmt: skip


async def patch(store: BlobStore, upload: Upload, *frames: bytes) -> Upload:
    """Sends some of an upload's bytes; the row that a PATCH would leave."""
    async with writing(store, upload) as appender:
        for frame in frames:
            await appender.write(frame)
        return taken(upload, await appender.flush())


async def finish(store: BlobStore, upload: Upload, *frames: bytes) -> str:
    """Sends the rest of an upload and commits it, as a PUT does up to the row; returns the key."""
    async with writing(store, upload) as appender:
        for frame in frames:
            await appender.write(frame)
        return await appender.commit(await appender.digest(upload.algorithm))


async def push(store: BlobStore, data: bytes) -> str:
    upload = session()
    key = await finish(store, upload, data)
    await store.discard(upload, kept=key)
    return key


async def pull(store: BlobStore, key: str) -> bytes:
    reader = await store.open(key)
    try:
        return b"".join([bytes(chunk) async for chunk in reader.chunks(0, reader.size)])
    finally:
        reader.close()
