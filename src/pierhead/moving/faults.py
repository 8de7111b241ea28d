"""Whether the bytes of a blob are there, and are what its digest says."""

import asyncio
import hashlib

from pierhead.blobs.store import BlobStore, Reader
from pierhead.errors import BlobMissing
from pierhead.metadata import blobs as blob_rows
from pierhead.models import Blob, Digest
from pierhead.moving.rows import is_of
from pierhead.moving.side import Side


async def fault(side: Side, blob: Blob, *, read: bool) -> str | None:
    """What is wrong with the bytes of a blob; None where nothing is."""
    try:
        if blob.inline:
            return await _fault_in_row(side, blob)
        return await _fault_in_store(side, blob, read=read)
    except BlobMissing:
        return "missing"


async def _fault_in_row(side: Side, blob: Blob) -> str | None:
    content = await side.database.read(lambda tx: blob_rows.content(tx, blob.digest))
    if content is None:
        return "missing"
    if len(content) != blob.size:
        return f"has {len(content)} bytes, not {blob.size}"
    return None if is_of(blob.digest, content) else "other bytes than its digest says"


async def _fault_in_store(side: Side, blob: Blob, *, read: bool) -> str | None:
    reader = await side.store.open(blob.key)
    try:
        if reader.size != blob.size:
            return f"has {reader.size} bytes, not {blob.size}"
        if read and await _digest_of(reader, blob.digest.algorithm) != blob.digest:
            return "other bytes than its digest says"
    finally:
        reader.close()
    return None


async def digest_under(store: BlobStore, key: str, algorithm: str) -> Digest:
    """What the bytes under a key are. Raises BlobMissing."""
    reader = await store.open(key)
    try:
        return await _digest_of(reader, algorithm)
    finally:
        reader.close()


async def _digest_of(reader: Reader, algorithm: str) -> Digest:
    found = hashlib.new(algorithm)
    async for chunk in reader.chunks(0, reader.size):
        await asyncio.to_thread(found.update, bytes(chunk))
    return Digest(f"{algorithm}:{found.hexdigest()}")
