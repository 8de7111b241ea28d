"""Whether the bytes of a blob are there, and are what its digest says. Nothing is written here."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

from pierhead.blobs.store import BlobStore, Reader, SparesMemory
from pierhead.errors import BlobMissing
from pierhead.metadata import blobs as blob_rows
from pierhead.metadata.database import Database
from pierhead.models import Blob, Digest
from pierhead.registry.pace import UNHURRIED, Pace

MISSING = "missing"
ALTERED = "other bytes than its digest says"


async def settled(
    database: Database, store: BlobStore, blob: Blob, *, pace: Pace = UNHURRIED
) -> tuple[Blob, str | None]:
    """The blob as it is now, and what is wrong with it, read whole; looked up again before anything is called wrong."""
    wrong = await fault(database, store, blob, read=True, pace=pace)
    if wrong is None:
        return blob, None
    again = await database.read(lambda tx: blob_rows.stored(tx, blob.digest))
    if again is None:
        return blob, None
    if again.key == blob.key:
        return again, wrong
    return again, await fault(database, store, again, read=True, pace=pace)


async def fault(database: Database, store: BlobStore, blob: Blob, *, read: bool, pace: Pace = UNHURRIED) -> str | None:
    """What is wrong with the bytes of a blob; None where nothing is. StorageFailed tells nothing of them."""
    try:
        if blob.inline:
            return await _fault_in_row(database, blob)
        return await _fault_in_store(store, blob, read=read, pace=pace)
    except BlobMissing:
        return MISSING


def cut(size: int, expected: int) -> str:
    return f"has {size} bytes, not {expected}"


def kind(wrong: str) -> str:
    """One word for a metric."""
    return {MISSING: "missing", ALTERED: "altered"}.get(wrong, "cut short")


def is_of(digest: Digest, content: bytes) -> bool:
    return hashlib.new(digest.algorithm, content).hexdigest() == digest.hex


async def _fault_in_row(database: Database, blob: Blob) -> str | None:
    content = await database.read(lambda tx: blob_rows.content(tx, blob.digest))
    if content is None:
        return MISSING
    if len(content) != blob.size:
        return cut(len(content), blob.size)
    return None if is_of(blob.digest, content) else ALTERED


async def _fault_in_store(store: BlobStore, blob: Blob, *, read: bool, pace: Pace) -> str | None:
    reader = await store.open(blob.key)
    try:
        if reader.size != blob.size:
            return cut(reader.size, blob.size)
        if read and await _digest_of(reader, blob.digest.algorithm, pace) != blob.digest:
            return ALTERED
    finally:
        reader.close()
    return None


async def digest_under(store: BlobStore, key: str, algorithm: str) -> Digest:
    """What the bytes under a key are. Raises BlobMissing."""
    reader = await store.open(key)
    try:
        return await _digest_of(reader, algorithm, UNHURRIED)
    finally:
        reader.close()


async def _digest_of(reader: Reader, algorithm: str, pace: Pace) -> Digest:
    found = hashlib.new(algorithm)
    async for chunk in _whole(reader):
        await asyncio.to_thread(found.update, bytes(chunk))
        await pace.keep(len(chunk))
    return Digest(f"{algorithm}:{found.hexdigest()}")


def _whole(reader: Reader) -> AsyncIterator[bytes | bytearray]:
    return reader.passing() if isinstance(reader, SparesMemory) else reader.chunks(0, reader.size)
