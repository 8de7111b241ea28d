"""Taking a session over from a writer that went silent: its bytes are copied, its file is left to it.

The target is locked and never truncated: where somebody else was quicker, the same bytes are written
over the same bytes.
"""

import errno
import os
from functools import partial

from pierhead.blobs.files.staged import WRITE_SIZE, Staged
from pierhead.blobs.work import Work
from pierhead.errors import PierheadError, UploadBusy, UploadUnknown
from pierhead.models import Upload

# A thread copies so many bytes at a time.
_PART = 64 * 1024 * 1024
_NOT_HERE = (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)


async def take_over(work: Work, upload: Upload, *, source: str, target: Staged) -> None:
    try:
        await work.syncing("take over", 0, partial(lock, target, upload, create=True))
        for start in range(0, upload.offset, _PART):
            end = min(start + _PART, upload.offset)
            await work.syncing("take over", end - start, partial(_copy, upload, source, target.fd, start, end))
    except PierheadError:
        await work.syncing("discard", 0, target.forget_new)
        raise
    finally:
        target.close()


def lock(staged: Staged, upload: Upload, *, create: bool) -> None:
    """Raises UploadUnknown, UploadBusy."""
    try:
        staged.lock(create=create)
    except FileNotFoundError as error:
        raise UploadUnknown(upload.id) from error
    except BlockingIOError as error:
        raise UploadBusy(upload.id, upload.offset) from error


def _copy(upload: Upload, source: str, target: int, start: int, end: int) -> None:
    try:
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise UploadUnknown(upload.id) from error
    try:
        while start < end:
            copied = _copy_some(fd, target, start, end - start)
            if not copied:
                raise UploadUnknown(upload.id)
            start += copied
    finally:
        os.close(fd)


def _copy_some(source: int, target: int, start: int, length: int) -> int:
    try:
        return os.copy_file_range(source, target, length, start, start)
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
    return os.pwrite(target, os.pread(source, min(length, WRITE_SIZE), start), start)
