"""`ObjectStore`: the same for every service, which is behind a `Bucket`."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from pierhead.blobs.hashing import Hashes
from pierhead.blobs.objects import names
from pierhead.blobs.objects.appender import BOOT, ObjectAppender
from pierhead.blobs.objects.bucket import Service
from pierhead.blobs.objects.notes import Notes
from pierhead.blobs.objects.reader import ObjectReader
from pierhead.blobs.store import Appender, Kept, Ledger, Reader
from pierhead.blobs.work import Observe, Work, unobserved
from pierhead.errors import BlobMissing
from pierhead.models import Digest, Doomed, Mark, Upload
from pierhead.settings import StorageSettings

# Parts on their way at once, over all uploads of a worker.
SLOTS = 16
_LISTED_MAX = 1000


class ObjectStore:
    """`BlobStore`, `MarksDigests`, `KeepsCopies` and `SignsUrls`; open it with `async with`, inside its bucket."""

    boot = BOOT

    def __init__(
        self,
        bucket: Service,
        settings: StorageSettings,
        *,
        observe: Observe = unobserved,
        hashes: Hashes | None = None,
    ) -> None:
        self._bucket = bucket
        self._settings = settings
        self._work = Work(observe)
        self._hashes = hashes or Hashes.load()
        self._slots = asyncio.Semaphore(SLOTS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._work.close()

    @asynccontextmanager
    async def append(self, upload: Upload, ledger: Ledger) -> AsyncIterator[Appender]:
        names.require_session(upload.id)
        appender = ObjectAppender(
            upload,
            ledger,
            bucket=self._bucket,
            work=self._work,
            hashes=self._hashes,
            slots=self._slots,
            batch=self._settings.batch_bytes,
        )
        try:
            yield appender
        finally:
            await appender.close()

    async def discard(self, upload: Upload, *, kept: str | None = None) -> None:
        if upload.notes:
            await self._forget(Notes.parse(upload.notes), kept)
        elif upload.saved and upload.digest is None:
            await self._forget_unknown(upload.id)

    async def abandoned(self, before: int) -> list[str]:
        found: set[str] = set()
        async for stored in self._bucket.list(names.STAGED):
            if stored.changed_at < before and (session := names.session_of(stored.key)):
                found.add(session)
        async for pending in self._bucket.pending():
            if pending.begun_at < before and (session := names.session_of(pending.key)):
                found.add(session)
        # Any of them: those that are kept must not stand before those that are not.
        return random.sample(sorted(found), min(len(found), _LISTED_MAX))

    async def open(self, key: str) -> Reader:
        if not names.is_key(key):
            raise BlobMissing(key)
        return ObjectReader(self._bucket, key, await self._bucket.size(key), chunk=self._settings.read_chunk_bytes)

    async def remove(self, doomed: Sequence[Doomed]) -> None:
        """The marks last: who lost the rows in between finds bytes that are marked, or none."""
        ours = [one for one in doomed if names.is_key(one.key)]
        if ours:
            await self._bucket.remove([one.key for one in ours])
        if marks := [names.mark(one.digest, one.key) for one in ours if one.digest]:
            await self._bucket.remove(marks)

    async def ping(self) -> None:
        await self._bucket.ping()

    async def mark(self, digest: Digest, key: str) -> None:
        await self._bucket.put(names.mark(digest, key), b"")

    async def keep(self, name: str, content: bytes) -> None:
        await self._bucket.put(names.copy(name), content)

    async def forget(self, name: str) -> None:
        await self._bucket.remove([names.copy(name)])

    async def copies(self, folder: str) -> AsyncIterator[str]:
        async for stored in self._bucket.list(names.copy(f"{folder}/")):
            yield stored.key.removeprefix(names.copy(""))

    async def copy(self, name: str) -> bytes:
        key = names.copy(name)
        return b"".join([piece async for piece in self._bucket.get(key, 0, await self._bucket.size(key))])

    async def listed(self) -> AsyncIterator[Kept]:
        digests = {mark.key: mark.digest async for mark in self.marks()}
        async for stored in self._bucket.list(names.BLOBS):
            if names.is_key(stored.key):
                yield Kept(stored.key, digests.get(stored.key), stored.size, stored.changed_at)

    async def marks(self) -> AsyncIterator[Mark]:
        async for stored in self._bucket.list(names.MARKS):
            if found := names.marked(stored.key):
                yield found

    async def sign(self, key: str, *, seconds: int, headers: Mapping[str, str]) -> str:
        return await self._bucket.sign(key, seconds=seconds, headers=headers)

    async def _forget(self, notes: Notes, kept: str | None) -> None:
        objects = {notes.tail, notes.stale, notes.key if notes.sealed else ""} - {"", kept}
        if notes.session and kept != notes.key:
            await self._bucket.abort(notes.key, notes.session)
        if objects:
            await self._bucket.remove(sorted(objects))

    async def _forget_unknown(self, upload_id: str) -> None:
        """What is left of a session whose notes are lost."""
        await self._bucket.remove([stored.key async for stored in self._bucket.list(names.tails(upload_id))])
        async for pending in self._bucket.pending():
            if names.session_of(pending.key) == upload_id:
                await self._bucket.abort(pending.key, pending.session)
