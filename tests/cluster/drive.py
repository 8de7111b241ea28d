"""A small disk under the S3 server, to be filled: a tmpfs, which only root may mount."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Drive:
    folder: Path
    small: bool  # whether it can be filled

    def fill(self) -> None:
        """Nothing more can be written until `clear`."""
        with self._ballast.open("wb") as ballast:
            for step in (64 * MIB, MIB, 4096):
                with suppress(OSError):  # ENOSPC
                    while True:
                        os.posix_fallocate(ballast.fileno(), ballast.seek(0, os.SEEK_END), step)

    def clear(self) -> None:
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"


@contextmanager
def drive(folder: Path, size: int) -> Iterator[Drive]:
    """Where nothing can be mounted, a folder that `fill` is not for."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield Drive(folder, mounted)
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", folder], check=True)
