"""One staged file: its lock, its bytes, and the moment when it becomes a blob.

A blob's name is a hard link to the staged file, not a rename of it: the staged name stays until the
session is discarded, after its row is committed, so a crash in between leaves a session that can finish.
"""

import errno
import fcntl
import os
from contextlib import suppress

from pierhead.blobs.files.kernel import start_writeback

# Larger writes were slower where the host gives pages back (stack.md 1).
WRITE_SIZE = 128 * 1024
WRITEBACK_SIZE = 8 * 1024 * 1024
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class Staged:
    """A staged file under the lock of its only writer."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = -1
        self.size = -1  # bytes, when it was locked
        self.position = 0  # where the next byte goes
        self._started = 0  # writeback of all before this was asked for

    def lock(self, *, create: bool) -> None:
        """Raises FileNotFoundError, and BlockingIOError where it has a writer."""
        self.fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600)
        fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between open and lock the name may have gone, and the lock with it.
        found = os.fstat(self.fd)
        if not os.path.samestat(found, os.stat(self.path)):  # noqa: PTH116  # hot
            raise FileNotFoundError(errno.ENOENT, "replaced", self.path)
        self.size = found.st_size

    @property
    def forgotten(self) -> bool:
        """Whether no name leads to it any more."""
        return os.fstat(self.fd).st_nlink == 0

    def start(self, offset: int) -> None:
        self.position = self._started = offset

    def truncate(self, size: int) -> None:
        os.ftruncate(self.fd, size)

    def forget_new(self) -> None:
        """Removes a file that held nothing when it was locked."""
        if self.size == 0:
            os.unlink(self.path)  # noqa: PTH108

    def write(self, data: bytes | bytearray) -> None:
        with memoryview(data) as view:
            start = 0
            while start < len(view):
                start += os.pwrite(self.fd, view[start : start + WRITE_SIZE], self.position + start)
        self.position += len(data)
        if self.position - self._started >= WRITEBACK_SIZE:
            start_writeback(self.fd, self._started, self.position - self._started)
            self._started = self.position

    def publish(self, path: str) -> None:
        """Gives the bytes a second name and makes both durable.

        The name comes first, so that one journal commit takes the bytes and the name: a third faster than
        syncing twice. Until a row names it, a name whose bytes a power cut took means nothing.
        """
        directory, name = os.path.split(path)
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._name(fd, name)
            self._sync(fd, name)
        finally:
            os.close(fd)

    def _name(self, directory: int, name: str) -> None:
        try:
            self.link(directory, name)
        except FileExistsError:
            # An earlier commit of this session that a crash cut short.
            if not os.path.samestat(os.fstat(self.fd), os.stat(name, dir_fd=directory)):
                raise
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            os.rename(self.path, name, dst_dir_fd=directory)

    def link(self, directory: int, name: str) -> None:
        # By descriptor: the name may be another file's by now, if the session was cancelled.
        os.link(f"/proc/self/fd/{self.fd}", name, dst_dir_fd=directory, follow_symlinks=True)

    def _sync(self, directory: int, name: str) -> None:
        try:
            self.fsync(self.fd)
            self.fsync(directory)
        except OSError:
            # The kernel may call these pages clean now: another sync could succeed without the bytes.
            with suppress(OSError):
                os.unlink(name, dir_fd=directory)
            with suppress(OSError):
                os.unlink(self.path)  # noqa: PTH108
            raise

    def fsync(self, fd: int) -> None:
        os.fsync(fd)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
