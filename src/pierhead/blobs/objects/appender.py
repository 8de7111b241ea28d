"""The one writer of an upload into an object store.

Bytes go out as parts while they come. What is left at the end of a request, too little for a part, becomes an object
of its own, which the next request reads again. Before the first part that object already has a blob's name: where no
more bytes follow, it *is* the blob. So no byte of a finished upload is ever copied.
"""

import asyncio
import base64
from dataclasses import replace

from pierhead.blobs.hashing import Hashes
from pierhead.blobs.objects import names
from pierhead.blobs.objects.bucket import Service
from pierhead.blobs.objects.digester import Digester
from pierhead.blobs.objects.gathering import Gathering
from pierhead.blobs.objects.notes import Notes, Sealed
from pierhead.blobs.objects.sender import Sender
from pierhead.blobs.store import Accepted, Ledger
from pierhead.blobs.work import Work
from pierhead.errors import BlobMissing, UploadUnknown
from pierhead.models import Digest, Part, Upload

BOOT = "objects"  # what is in the store survives the power loss of a node
# Bytes that are kept in the session's row, which has to be written anyway: no trip to the store, and none back.
_LITTLE = 16 * 1024
# Read and hashed at once.
_STEP = 4 * 1024 * 1024


class ObjectAppender:
    def __init__(
        self,
        upload: Upload,
        ledger: Ledger,
        *,
        bucket: Service,
        work: Work,
        hashes: Hashes,
        slots: asyncio.Semaphore,
        batch: int,
    ) -> None:
        self._upload = upload
        self._ledger = ledger
        self._bucket = bucket
        self._work = work
        self._hashes = hashes
        self._batch = batch  # bytes
        self._notes = Notes.of(upload)  # as they were accepted
        self._sender = Sender(bucket, upload.id, self._notes, ledger=ledger, slots=slots)
        self._gathered = Gathering()
        self._gathered.add(self._notes.bytes_here)
        self._loaded = not self._notes.tail  # whether the tail is among what gathered
        self._offset = upload.offset
        self._told = 0  # parts of the sender that were told of
        self._sealed = self._notes.sealed
        self._key = ""  # once committed
        self._own = ""  # key of an object that only this request knows
        hash_ = hashes.resume(upload.algorithm, upload.state, upload.offset)
        if not upload.offset:
            hash_ = hashes.new(upload.algorithm)
        # Without one that goes through to the end, the bytes are read again when they are one object.
        self._digester = Digester(work, hash_, batch) if hash_ else None

    @property
    def offset(self) -> int:
        return self._offset

    async def write(self, data: bytes) -> None:
        if self._sealed or not data:
            self._offset += len(data)
            return
        await self._load()
        self._gathered.add(data)
        self._offset += len(data)
        if self._digester:
            await self._digester.add(data)
        while self._gathered.size >= self._sender.part_size:
            await self._send(self._sender.part_size)

    async def flush(self) -> Accepted:
        if self._offset == self._notes.offset:
            return Accepted(self._offset, await self._state(), BOOT, self._notes.text())
        if self._sealed:
            raise UploadUnknown(self._upload.id)
        if self._sender.begun and self._gathered.size >= self._sender.worth:
            await self._send(self._gathered.size)
        tail, little = await self._keep_tail()
        await self._sender.settle()
        if self._notes.stale:
            await self._bucket.remove([self._notes.stale])
        size = self._offset - self._gathered.size
        orderly = self._sender.orderly()
        self._notes = replace(orderly, offset=self._offset, size=size, tail=tail, little=little, stale=self._notes.tail)
        self._sender.notes = self._notes
        told, self._told = self._told, len(self._sender.sent)
        parts = tuple(self._sender.sent[told:])
        return Accepted(self._offset, await self._state(), BOOT, self._notes.text(), parts)

    async def digest(self, algorithm: str) -> Digest:
        if self._digester and self._digester.algorithm == algorithm and not self._sealed:
            return Digest(f"{algorithm}:{await self._digester.hexdigest()}")
        again = Digester(self._work, self._hashes.new(algorithm), self._batch)
        try:
            if self._sealed or self._sender.begun:
                await self._read_object(again)
            else:
                await again.add(await self.content())
            return Digest(f"{algorithm}:{await again.hexdigest()}")
        finally:
            await again.close()

    async def content(self) -> bytes:
        await self._load()
        return self._gathered.whole()

    async def commit(self, digest: Digest) -> str:  # noqa: ARG002  keys tell nothing of what they hold
        if not self._key:
            if self._sealed or self._sender.begun:
                self._key = await self._seal()
            elif self._offset == self._notes.offset and names.is_key(self._notes.tail):
                self._key = self._notes.tail
            else:
                content = await self.content()
                self._key = self._own = names.new_key(self._upload.id)
                await self._bucket.put(self._key, content)
        return self._key

    async def withdraw(self) -> None:
        if self._own:
            await self._bucket.remove([self._own])

    async def close(self) -> None:
        await self._sender.close()
        if self._digester:
            await self._digester.close()

    async def _load(self) -> None:
        """Reads the tail, where more bytes are to follow it."""
        if self._loaded:
            return
        length = self._notes.offset - self._notes.size
        try:
            pieces = [piece async for piece in self._bucket.get(self._notes.tail, 0, length)]
        except BlobMissing as error:
            raise UploadUnknown(self._upload.id) from error
        for piece in pieces:
            self._gathered.add(piece)
        self._loaded = True

    async def _send(self, size: int) -> None:
        await self._sender.room(size)
        self._sender.start(self._gathered.cut(size))

    async def _keep_tail(self) -> tuple[str, str]:
        """The object of what gathered, or where it is little, its bytes for the notes."""
        if self._gathered.size <= _LITTLE:
            return "", base64.b64encode(self._gathered.whole()).decode()
        name = names.new_tail if self._sender.begun else names.new_key
        tail = name(self._upload.id)
        await self._bucket.put(tail, self._gathered.whole())
        return tail, ""

    async def _state(self) -> bytes | None:
        return await self._digester.state() if self._digester else None

    async def _seal(self) -> str:
        """Makes the parts one object. That this was begun is in the row before, so that it can be repeated."""
        if not self._sealed:
            await self._load()
            if self._gathered.size:
                await self._send(self._gathered.size)
            await self._sender.settle()
            self._sealed = Sealed(self._offset, tuple(self._sender.sent))
            self._notes = replace(self._sender.orderly(), sealed=self._sealed)
            await self._ledger.note(self._notes.text())
        if self._offset != self._sealed.size:
            raise UploadUnknown(self._upload.id)
        parts = {part.number: part for part in [*await self._ledger.parts(), *self._sealed.parts]}
        await self._bucket.complete(self._notes.key, self._notes.session, _in_order(parts))
        return self._notes.key

    async def _read_object(self, again: Digester) -> None:
        key = await self._seal()
        for start in range(0, self._offset, _STEP):
            async for piece in self._bucket.get(key, start, min(_STEP, self._offset - start)):
                await again.add(piece)


def _in_order(parts: dict[int, Part]) -> list[Part]:
    return [parts[number] for number in sorted(parts)]
