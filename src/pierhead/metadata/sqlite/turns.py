"""Whose turn it is to write, among the processes of one data directory.

SQLite lets whoever asks at the right moment write, so a busy process can starve the others.
Here a writer first takes its place (`next`), then the pen (`now`), and gives up the place
once it holds the pen: who just wrote has to queue behind the one that waits.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Turns:
    """Blocking; for the writer thread."""

    def __init__(self, directory: Path) -> None:
        self._next = os.open(directory / "write-next.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._now = os.open(directory / "write-now.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @contextmanager
    def mine(self) -> Iterator[None]:
        fcntl.flock(self._next, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._now, fcntl.LOCK_EX)
        finally:
            fcntl.flock(self._next, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._now, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._next)
        os.close(self._now)
