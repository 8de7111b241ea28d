"""The one writer of a staged file: collects frames into batches, which a thread hashes and writes.

One batch is with the thread while the next one fills, so an upload holds about two in memory.
"""

import asyncio
import os
from collections.abc import Callable
from functools import partial

from pierhead.blobs.files.layout import Layout, key_of, remove
from pierhead.blobs.files.rehash import rehash
from pierhead.blobs.files.staged import Staged
from pierhead.blobs.hashing import Hash, Hashes
from pierhead.blobs.store import Accepted
from pierhead.blobs.work import Work, storage_errors
from pierhead.errors import UploadUnknown
from pierhead.models import Digest, Upload
from pierhead.threads import ended, finished

Frame = bytes | bytearray
Put = Callable[[], None]
Job = asyncio.Future[None]

# Up to here a thread costs more than hashing on the loop does.
INLINE = 64 * 1024
# Frames smaller than this are joined, so that a body of single bytes does not become a million objects.
_JOINED = 16 * 1024


class FileAppender:
    def __init__(
        self, staged: Staged, upload: Upload, *, layout: Layout, work: Work, hashes: Hashes, boot: str, batch: int
    ) -> None:
        self._staged = staged
        self._upload = upload
        self._layout = layout
        self._work = work
        self._hashes = hashes
        self._hash: Hash = hashes.new(upload.algorithm)
        self._boot = boot
        self._batch = batch  # bytes
        self._offset = self._accepted = upload.offset
        self._hashed: list[Frame] = []  # not in the file yet
        self._fresh: list[Frame] = []  # neither hashed nor in the file
        self._waiting = 0  # bytes of _fresh
        # The last batch, while it may run. One that failed stays here, and fails all that follows.
        self._job: Job | None = None
        self._committed = ""  # path

    @property
    def offset(self) -> int:
        return self._offset

    async def resume(self) -> None:
        """Restores the hash at the session's offset. Raises UploadUnknown where the bytes are not those accepted."""
        upload, fd = self._upload, self._staged.fd
        saved = self._hashes.resume(upload.algorithm, upload.state, upload.offset)
        if upload.boot == self._boot and saved:
            self._hash = saved
        elif upload.offset:
            await rehash(self._work, self._hash, fd, upload.offset)
            # After a power cut a file can have its length and not its bytes; only the state tells.
            if upload.boot != self._boot and (saved is None or saved.hexdigest() != self._hash.hexdigest()):
                raise UploadUnknown(upload.id)

    async def write(self, data: bytes) -> None:
        self._collect(data)
        self._offset += len(data)
        self._waiting += len(data)
        if self._waiting >= self._batch:
            await self._settle()
            self._start_writing()

    async def flush(self) -> Accepted:
        await self._write_out()
        self._accepted = self._offset
        return Accepted(self._offset, self._hash.state, self._boot)

    async def digest(self, algorithm: str) -> Digest:
        if algorithm != self._hash.algorithm:
            await self._write_out()
            other = await rehash(self._work, self._hashes.new(algorithm), self._staged.fd, self._offset)
            return Digest(f"{algorithm}:{other.hexdigest()}")
        await (self._write_out() if self._waiting > INLINE else self._settle())
        self._hash_inline()
        return Digest(f"{algorithm}:{self._hash.hexdigest()}")

    async def content(self) -> bytes:
        await self._write_out()
        with storage_errors("read"):
            return os.pread(self._staged.fd, self._offset, 0)

    async def commit(self, digest: Digest) -> str:
        key = key_of(digest, self._upload)
        path = self._layout.blob(key)
        await self._settle()
        _, put = self._take()
        self._job = self._work.start_syncing("commit", self._offset, partial(self._publish, put, path))
        await self._settle()
        self._committed = path
        return key

    async def withdraw(self) -> None:
        if self._committed:
            await self._work.syncing("remove", 0, partial(remove, [self._committed]))

    async def close(self) -> None:
        """Returns when no thread uses the file; what a failed batch wrote gives its space back."""
        if self._job is None:
            return
        try:
            await ended(self._job)
        finally:
            if self._job.exception():
                give_back = partial(self._staged.truncate, self._accepted)
                await ended(self._work.start_syncing("truncate", 0, give_back))

    def _collect(self, data: bytes) -> None:
        last = self._fresh[-1] if self._fresh else b""
        if isinstance(last, bytearray) and len(last) < _JOINED:
            last += data
        elif data:
            self._fresh.append(data if len(data) >= _JOINED else bytearray(data))

    async def _settle(self) -> None:
        if self._job is not None:
            await finished(self._job)
            self._job = None

    async def _write_out(self) -> None:
        await self._settle()
        if self._hashed or self._fresh:
            self._start_writing()
            await self._settle()

    def _start_writing(self) -> None:
        size, put = self._take()
        self._job = self._work.start_hashing("write", size, put)

    def _take(self) -> tuple[int, Put]:
        """The frames so far, as their size and the call that puts them into the file."""
        hashed, fresh = self._hashed, self._fresh
        self._hashed, self._fresh, self._waiting = [], [], 0

        def put() -> None:
            for frame in hashed:
                self._staged.write(frame)
            for frame in fresh:
                self._hash.update(frame)
                self._staged.write(frame)

        return sum(map(len, hashed)) + sum(map(len, fresh)), put

    def _hash_inline(self) -> None:
        for frame in self._fresh:
            self._hash.update(frame)
        self._hashed += self._fresh
        self._fresh, self._waiting = [], 0

    def _publish(self, put: Put, path: str) -> None:
        put()
        try:
            self._staged.publish(path)
        except FileNotFoundError as error:
            # The session was cancelled meanwhile, and its staged file forgotten.
            if self._staged.forgotten:
                raise UploadUnknown(self._upload.id) from error
            raise
