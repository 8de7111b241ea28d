"""Where worker processes show one another their numbers: one slot per worker in a shared directory.

- A slot is held by a lock that the kernel drops with its worker; the next worker takes the slot
  and its counters over, so totals never fall and files never pile up.
- Each write goes to the other of two files with a checksum: a reader, or a worker killed at any
  moment, always leaves one whole. Written with pwrite, not mmap: on a full disk that is an error,
  not a SIGBUS.
"""

import fcntl
import os
import shutil
import struct
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import orjson

from pierhead.observability.instruments import Rows

Numbers = dict[str, Rows]

_HEADER = struct.Struct("<IQQ")  # checksum of what follows, order of writing, length


@dataclass(frozen=True, slots=True)
class Snapshot:
    numbers: Numbers
    alive: bool


def prepare(run: Path) -> Path:
    """A fresh directory for the slots of one server; what earlier runs left under `run` is removed."""
    run.mkdir(parents=True, exist_ok=True)
    for stale in run.glob("metrics-*"):
        shutil.rmtree(stale, ignore_errors=True)
    fresh = run / f"metrics-{time.time_ns()}"
    fresh.mkdir(mode=0o700)
    return fresh


class Slot:
    """The slot of this worker, until `close`."""

    def __init__(self, path: Path, lock: int) -> None:
        self._path = path
        self._lock = lock
        self._files = [os.open(half, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) for half in _halves(path)]
        self._order, self.inherited = _newest(path)

    @classmethod
    def take(cls, directory: Path) -> Self:
        """The first slot that no living worker holds, with what its last holder counted as `inherited`."""
        number = 0
        while (lock := _try_lock(directory / f"{number}.lock", fcntl.LOCK_EX)) is None:
            number += 1
        return cls(directory / f"{number}.lock", lock)

    def write(self, numbers: Numbers) -> None:
        """Raises OSError, as on a full disk; what was written before stays readable."""
        self._order += 1
        body = _encode(numbers)
        header = struct.pack("<QQ", self._order, len(body))
        checksum = struct.pack("<I", zlib.crc32(header + body))
        os.pwrite(self._files[self._order % 2], checksum + header + body, 0)

    def others(self) -> list[Snapshot]:
        """The last word of each other slot, held or not."""
        locks = sorted(self._path.parent.glob("*.lock"))
        return [Snapshot(_newest(path)[1], alive=_held(path)) for path in locks if path != self._path]

    def close(self) -> None:
        for file in (*self._files, self._lock):
            os.close(file)


def _halves(path: Path) -> list[Path]:
    return [path.with_suffix(".0"), path.with_suffix(".1")]


def _try_lock(path: Path, kind: int) -> int | None:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def _held(path: Path) -> bool:
    lock = _try_lock(path, fcntl.LOCK_SH)
    if lock is not None:
        os.close(lock)
    return lock is None


def _newest(path: Path) -> tuple[int, Numbers]:
    """The later of the two halves that is whole."""
    read = [_read(half) for half in _halves(path)]
    return max((found for found in read if found), default=(0, {}), key=lambda found: found[0])


def _read(path: Path) -> tuple[int, Numbers] | None:
    content = b""
    with suppress(FileNotFoundError):
        content = path.read_bytes()
    if len(content) < _HEADER.size:
        return None
    checksum, order, length = _HEADER.unpack_from(content)
    whole = content[4 : _HEADER.size + length]
    if zlib.crc32(whole) != checksum:
        return None
    return order, _decode(whole[16:])


def _encode(numbers: Numbers) -> bytes:
    return orjson.dumps({name: list(rows.items()) for name, rows in numbers.items()})


def _decode(body: bytes) -> Numbers:
    return {name: {tuple(labels): row for labels, row in rows} for name, rows in orjson.loads(body).items()}
