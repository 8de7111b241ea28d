"""Files by the million, quickly: what stays is a hard link, what is to be removed has blocks of its own."""

import os
import shutil
from pathlib import Path

from benchmarks.collection.contents import BLOB_BYTES

# ext4 gives one file 65,000 names.
_LINKS_MAX = 60_000


class Writer:
    """Writes files of the same bytes."""

    def __init__(self) -> None:
        self._source: Path | None = None
        self._links = 0
        self._bytes = bytes(BLOB_BYTES)

    def link(self, path: Path) -> None:
        """A name of a file that has many."""
        if self._source is None or self._links == _LINKS_MAX:
            self._source, self._links = path, 0
            self.write(path)
            return
        self._links += 1
        try:
            os.link(self._source, path)
        except FileNotFoundError:
            path.parent.mkdir(parents=True)
            os.link(self._source, path)

    def write(self, path: Path) -> None:
        write(path, self._bytes)


def write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except FileNotFoundError:
        path.parent.mkdir(parents=True)
        path.write_bytes(content)


def settle() -> None:
    """What was prepared is on the disk, so that nobody is measured who writes it."""
    os.sync()


def require_space(folder: Path, blobs: int) -> None:
    """Ends the program where the disk has not enough: a million blobs are some 20 GB of blocks at Distribution's."""
    free, needed = shutil.disk_usage(folder).free, blobs * 25 * 1024
    inodes = os.statvfs(folder).f_favail
    if free < needed or inodes < blobs * 6:
        raise SystemExit(f"{folder} has {free >> 30} GiB and {inodes:,} inodes; {needed >> 30} GiB are needed")
