"""Hashing bytes again that are in a file already."""

import errno
import os
from functools import partial

from pierhead.blobs.hashing import Hash
from pierhead.blobs.work import Work

# A thread takes so many bytes at a time, so that a huge file does not keep others from theirs.
_PART = 8 * 1024 * 1024
_READ = 256 * 1024


async def rehash(work: Work, hash_: Hash, fd: int, length: int) -> Hash:
    """Feeds the first `length` bytes of a file to a hash, and returns it."""
    for start in range(0, length, _PART):
        end = min(start + _PART, length)
        await work.hashing("rehash", end - start, partial(_feed, hash_, fd, start, end))
    return hash_


def _feed(hash_: Hash, fd: int, start: int, end: int) -> None:
    while start < end:
        data = os.pread(fd, min(_READ, end - start), start)
        if not data:
            raise OSError(errno.EIO, "the file ends early")
        hash_.update(data)
        start += len(data)
