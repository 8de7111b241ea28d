"""An open blob. What the page cache holds is read on the loop, the rest in a thread."""

import errno
import os
from collections.abc import AsyncIterator
from functools import partial

from pierhead.blobs.work import Work
from pierhead.errors import StorageFailed

# A blob up to here is one read.
SMALL = 64 * 1024
# Asked of the disk at once where bytes are not in memory.
_AHEAD = 4 * 1024 * 1024
# Read at once by who passes by: long enough for a disk without reading ahead.
_PASSING = 1024 * 1024
_NOT_NOW = (errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL)


class FileReader:
    size = 0

    def __init__(self, *, chunk: int, work: Work) -> None:
        self._fd = -1
        self._chunk = chunk  # bytes
        self._work = work

    def open(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self._fd).st_size
        if self.size > SMALL:
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    @property
    def file(self) -> int:
        return self._fd

    async def read(self, start: int, length: int) -> bytes:
        length = min(length, self._chunk)
        data = self._cached(start, length)
        if not data and length:
            data = await self._work.syncing("read", length, partial(self._read, start, length))
            if not data:
                raise StorageFailed(f"read: the blob ends at {start} of {self.size} bytes")
        return data

    async def chunks(self, start: int, length: int) -> AsyncIterator[bytes | bytearray]:
        """One buffer serves them all: fresh memory for each chunk costs more than reading into it."""
        end = start + length
        buffer = bytearray(min(self._chunk, length))
        while start < end:
            count = self._into(buffer, start) if end - start >= len(buffer) else 0
            if count == len(buffer):
                yield buffer
            elif count:
                yield bytes(memoryview(buffer)[:count])
            else:
                data = await self.read(start, end - start)
                count = len(data)
                yield data
            start += count

    async def passing(self) -> AsyncIterator[bytes | bytearray]:
        """Without reading ahead: what the kernel brought by itself could not be told from what others need."""
        os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_RANDOM)
        start = 0
        while start < self.size:
            length = min(_PASSING, self.size - start)
            data = self._cached(start, length)
            if len(data) < length:
                data = await self._work.syncing("read", length, partial(self._pass, start, length))
            if not data:
                raise StorageFailed(f"read: the blob ends at {start} of {self.size} bytes")
            yield data
            start += len(data)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read(self, start: int, length: int) -> bytes:
        if self.size > SMALL:
            os.posix_fadvise(self._fd, start, _AHEAD, os.POSIX_FADV_WILLNEED)
        return os.pread(self._fd, length, start)

    def _pass(self, start: int, length: int) -> bytes:
        data = os.pread(self._fd, length, start)
        os.posix_fadvise(self._fd, start, length, os.POSIX_FADV_DONTNEED)
        return data

    def _cached(self, start: int, length: int) -> bytes:
        """What is in memory of a range, from its start; b"" where that is nothing."""
        buffer = bytearray(length)
        return bytes(memoryview(buffer)[: self._into(buffer, start)])

    def _into(self, buffer: bytearray, start: int) -> int:
        """Fills a buffer from memory; 0 where that would have to wait for the disk."""
        try:
            return os.preadv(self._fd, [buffer], start, os.RWF_NOWAIT)
        except OSError as error:
            if error.errno in _NOT_NOW:
                return 0
            raise StorageFailed(f"read: {errno.errorcode.get(error.errno or 0)}") from error
