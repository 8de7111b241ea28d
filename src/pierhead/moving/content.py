"""Bringing the bytes of awaited blobs from one store into another one, several at a time, verified as they pass."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from uuid import uuid4

from pierhead.blobs.store import BlobStore, MarksDigests
from pierhead.errors import BlobMissing, MoveFailed
from pierhead.metadata import blobs as blob_rows
from pierhead.metadata import copying, tables
from pierhead.metadata.clock import now
from pierhead.models import Blob, Part, RepositoryName, Upload
from pierhead.moving.progress import Advance, Progress
from pierhead.moving.side import Side
from pierhead.registry.faults import fault

AT_ONCE = 4  # blobs
_PAGE = 256  # blobs


async def carry(source: Side, target: Side, progress: Progress) -> tuple[int, int]:
    """Brings what the target awaits; returns how many blobs and bytes. What the source dropped meanwhile is left.

    Raises MoveFailed, naming the blob, where its bytes are missing or not what their digest says.
    """
    blobs, size = await target.database.read(copying.awaited)
    if not blobs:
        return 0, 0
    with progress.bar("blobs", size) as advance:
        carrier = _Carrier(source, target, advance)
        after = ""
        while page := await target.database.read(partial(copying.pending, after=after, limit=_PAGE)):
            await each(page, carrier.bring)
            after = page[-1].key
    return carrier.blobs, carrier.bytes


async def sweep(store: BlobStore) -> None:
    """Discards what a copy that was cut short had staged, in a store that nobody else writes to."""
    for upload_id in await store.abandoned(now()):
        await store.discard(_upload(upload_id, ""))


async def look(target: Side, progress: Progress, *, read: bool) -> None:
    """Awaits again what the target has not, or not whole; `read` re-hashes."""
    total = await target.database.read(lambda tx: copying.count(tx, tables.BLOBS))

    async def inspect(blob: Blob) -> None:
        # Also one beside its row: the source may have it in its store since, and so no bytes in its rows.
        if not blob.key.startswith(copying.PENDING) and await _is_faulty(target, blob, read=read):
            await target.database.write(lambda tx: copying.lost(tx, blob))
        advance(1)

    with progress.bar("looking at what is there", total) as advance:
        after = ""
        while page := await target.database.read(partial(copying.stored_after, after=after, limit=_PAGE)):
            await each(page, inspect)
            after = page[-1].digest


async def _is_faulty(side: Side, blob: Blob, *, read: bool) -> bool:
    return await fault(side.database, side.store, blob, read=read) is not None


class _Carrier:
    def __init__(self, source: Side, target: Side, advance: Advance) -> None:
        self._source = source
        self._target = target
        self._advance = advance
        self.blobs = 0
        self.bytes = 0

    async def bring(self, awaited: Blob) -> None:
        found = await self._source.database.read(lambda tx: blob_rows.stored(tx, awaited.digest))
        if found is None:
            return
        try:
            arrived = await bring(self._source, self._target, found, self._advance)
        except BlobMissing as error:
            # It may have been pushed again meanwhile, under another key.
            again = await self._source.database.read(lambda tx: blob_rows.stored(tx, awaited.digest))
            if again is None:
                return
            if again == found:
                raise MoveFailed(f"the blob {found.digest} is missing") from error
            arrived = await bring(self._source, self._target, again, self._advance)
        await self._target.database.write(lambda tx: copying.arrived(tx, arrived))
        self.blobs += 1
        self.bytes += arrived.size


class _Alone:
    """The `Ledger` of a session that nobody else knows, and that ends with this process."""

    def __init__(self, upload: Upload) -> None:
        self.upload = upload

    async def refresh(self) -> Upload:
        return self.upload

    async def note(self, notes: str) -> None:
        self.upload = replace(self.upload, notes=notes)

    async def parts(self) -> list[Part]:
        return []


async def bring(source: Side, target: Side, blob: Blob, advance: Advance) -> Blob:
    """A source's blob as the target has its bytes now; no row names their key yet. Raises BlobMissing, MoveFailed."""
    store = target.store
    upload = _upload(str(uuid4()), blob.digest.algorithm)
    alone, key = _Alone(upload), None
    async with store.append(upload, alone) as appender:
        try:
            async with aclosing(_chunks(source, blob)) as chunks:
                async for chunk in chunks:
                    await appender.write(chunk)
                    advance(len(chunk))
            if appender.offset != blob.size or await appender.digest(blob.digest.algorithm) != blob.digest:
                raise MoveFailed(f"the blob {blob.digest} is damaged: its bytes are not what its digest says")
            key = await appender.commit(blob.digest)
        finally:
            await store.discard(alone.upload, kept=key)
    if isinstance(store, MarksDigests):
        await store.mark(blob.digest, key)
    copied = Blob(blob.digest, blob.size, key)
    if (wrong := await fault(target.database, store, copied, read=False)) is not None:
        raise MoveFailed(f"the copy of the blob {blob.digest} is not whole: {wrong}")
    return copied


async def whole(source: Side, blob: Blob) -> bytes:
    """All bytes of a small blob, whatever they are. Raises BlobMissing, MoveFailed."""
    async with aclosing(_chunks(source, blob)) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def _chunks(source: Side, blob: Blob) -> AsyncGenerator[bytes, None]:
    """Raises BlobMissing."""
    if blob.inline:
        content = await source.database.read(lambda tx: blob_rows.content(tx, blob.digest))
        if content is None:
            raise BlobMissing(blob.digest)
        yield content
        return
    reader = await source.store.open(blob.key)
    try:
        if reader.size != blob.size:
            raise MoveFailed(f"the blob {blob.digest} has {reader.size} bytes, not {blob.size}")
        async for chunk in reader.chunks(0, blob.size):
            yield bytes(chunk)  # the reader uses its buffer again
    finally:
        reader.close()


def _upload(upload_id: str, algorithm: str) -> Upload:
    """A session of no repository and without a row."""
    return Upload(upload_id, RepositoryName(), algorithm, offset=0, epoch=0, saved=False)


async def each(blobs: Iterable[Blob], act: Callable[[Blob], Awaitable[None]]) -> None:
    """Acts on all of them, some at a time. What the first failure says is raised."""
    waiting = iter(blobs)

    async def work() -> None:
        for blob in waiting:
            await act(blob)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
