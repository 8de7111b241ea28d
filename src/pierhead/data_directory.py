"""The data directory: made at first start, and served by one server at a time.

The supervisor holds `serve.lock` alone, its workers share `workers.lock`: as long as one
worker lives, even without its supervisor, no second server can start.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from pierhead.errors import ConfigurationError

SERVE_LOCK = "serve.lock"
WORKERS_LOCK = "workers.lock"
WAIT_SECONDS = 5.0
_STEP_SECONDS = 0.05


def prepare(path: Path) -> Path:
    """Makes the directory, for its owner only, and returns its full path. Raises ConfigurationError."""
    os.umask(0o077)
    try:
        path.mkdir(parents=True, exist_ok=True)
        path = path.resolve()
    except OSError as error:
        raise ConfigurationError([f"server.data = {str(path)!r}: cannot be made: {error.strerror}"]) from error
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigurationError(
            [f"server.data = {str(path)!r}: user id {os.geteuid()} may not write there; chown it, or choose another"]
        )
    return path


class ServeLock:
    """The right to serve a data directory, held by the supervisor."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.descriptor = -1

    def __enter__(self) -> Self:
        """Raises ConfigurationError while another server, or what is left of one, is there."""
        self.descriptor = _open(self._data / SERVE_LOCK)
        try:
            self._wait_for_supervisor()
            self._wait_for_workers()
        except BaseException:
            os.close(self.descriptor)
            raise
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"{os.getpid()}\n".encode(), 0)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def _wait_for_supervisor(self) -> None:
        # A worker that was just being forked may hold its dead supervisor's lock for a moment.
        seconds = WAIT_SECONDS if _is_gone(_holder(self.descriptor)) else 0.0
        if not _lock(self.descriptor, fcntl.LOCK_EX, seconds):
            raise ConfigurationError([_taken(self._data, _holder(self.descriptor))])

    def _wait_for_workers(self) -> None:
        descriptor = _open(self._data / WORKERS_LOCK)
        try:
            if not _lock(descriptor, fcntl.LOCK_EX, WAIT_SECONDS):
                raise ConfigurationError(
                    [f"workers of an earlier server still serve {self._data}; wait until they end, or end them"]
                )
        finally:
            os.close(descriptor)


@contextmanager
def alone(data: Path, name: str) -> Iterator[None]:
    """Does what only one process may do at a time. Raises ConfigurationError where another one does."""
    descriptor = _open(data / name)
    try:
        if not _lock(descriptor, fcntl.LOCK_EX, 0):
            raise ConfigurationError([f"another process holds {data / name}"])
        yield
    finally:
        os.close(descriptor)


def share(data: Path) -> int:
    """Takes a worker's part in `workers.lock`; held until the descriptor or the process ends."""
    descriptor = _open(data / WORKERS_LOCK)
    # Only a new supervisor that is starting holds it alone: then this worker's own is gone.
    if not _lock(descriptor, fcntl.LOCK_SH, 0):
        os.close(descriptor)
        raise ConfigurationError([f"another server is starting on {data}"])
    return descriptor


def is_served(data: Path) -> bool:
    """Whether workers of a server live."""
    descriptor = _open(data / WORKERS_LOCK)
    try:
        return not _lock(descriptor, fcntl.LOCK_EX, 0)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot be opened: {error.strerror}"]) from error


def _lock(descriptor: int, kind: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_STEP_SECONDS)
        else:
            return True


def _holder(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None


def _is_gone(pid: int | None) -> bool:
    return pid is not None and not Path(f"/proc/{pid}").exists()


def _taken(data: Path, pid: int | None) -> str:
    return f"another pierhead{f' (pid {pid})' if pid else ''} serves {data}; stop it first, or choose another directory"
