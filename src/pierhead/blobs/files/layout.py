"""Which file holds what under the data directory, and the directories made at first start.

blobs/sha256/ab/<hex>.<session id>-<epoch>   a finished blob, for the key sha256/ab/...
uploads/5f/<session id>.<epoch>              staged bytes of a session
copies/                                      copies of what is in rows, where they are wanted
layout                                       written last: all directories are there, durably
"""

import os
import random
import re
from contextlib import suppress
from pathlib import Path

from pierhead.blobs.files.kernel import network_file_system
from pierhead.blobs.store import Kept
from pierhead.errors import BlobMissing, ConfigurationError, UploadUnknown
from pierhead.models import HEX_LENGTHS, Digest, Upload

_LISTED_MAX = 1000
VERSION = b"pierhead files 1\n"

# The only shapes that ever become a path.
_KEY = re.compile(
    r"(?:sha256/([0-9a-f]{2})/\1[0-9a-f]{62}|sha512/([0-9a-f]{2})/\2[0-9a-f]{126})\.[0-9a-f]{32}-[0-9]{1,10}"
)
_SESSION = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def key_of(digest: Digest, upload: Upload) -> str:
    """Unique for ever: a session finishes once, and an epoch of it has one writer."""
    return f"{digest.algorithm}/{digest.hex[:2]}/{digest.hex}.{upload.id.replace('-', '')}-{upload.epoch}"


def digest_of(key: str) -> Digest:
    algorithm, _, name = key.split("/")
    return Digest(f"{algorithm}:{name.partition('.')[0]}")


class Layout:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.uploads = root / "uploads"
        self.copies = root / "copies"
        self._blobs = str(root / "blobs")
        self._staged = str(self.uploads)

    def blob(self, key: str) -> str:
        """Raises BlobMissing for what is not a key."""
        if not _KEY.fullmatch(key):
            raise BlobMissing(key)
        return f"{self._blobs}/{key}"

    def staged(self, upload: Upload, epoch: int | None = None) -> str:
        """Raises UploadUnknown for what is not a session's id."""
        if not _SESSION.fullmatch(upload.id):
            raise UploadUnknown(upload.id)
        return f"{self._staged}/{upload.id[:2]}/{upload.id}.{upload.epoch if epoch is None else epoch}"

    def staged_before(self, moment: float) -> list[str]:
        """Ids of the sessions whose staged files were last written before a moment (seconds since 1970)."""
        found: set[str] = set()
        for leaf in os.scandir(self.uploads):
            if leaf.is_dir():
                with os.scandir(leaf) as files:
                    found.update(file.name.partition(".")[0] for file in files if _older(file, moment))
        named = [name for name in found if _SESSION.fullmatch(name)]
        # Any of them: those that are kept must not stand before those that are not.
        return random.sample(named, min(len(named), _LISTED_MAX))

    def leaves(self) -> list[str]:
        """The directories of finished blobs."""
        return [f"{top}/{number:02x}" for top in self._tops() for number in range(256)]

    def kept(self, leaf: str) -> list[Kept]:
        """The finished blobs of one of them."""
        found = []
        with os.scandir(leaf) as files:
            for file in files:
                key = os.path.relpath(file.path, self._blobs)
                if _KEY.fullmatch(key):
                    look = file.stat()
                    found.append(Kept(key, digest_of(key), look.st_size, look.st_mtime_ns // 1000))
        return found

    def prepare(self, *, allow_network: bool) -> None:
        """Makes what is missing, durably. Raises ConfigurationError where this directory may not be served."""
        self.root.mkdir(parents=True, exist_ok=True)
        kind = network_file_system(self.root)
        if kind and not allow_network:
            advice = "locks and syncs are not to be trusted there; use a local disk (storage.allow_network_filesystem)"
            raise ConfigurationError([f"server.data: {self.root} is on {kind}: {advice}"])
        marker = self.root / "layout"
        if marker.exists() and marker.read_bytes() != VERSION:
            raise ConfigurationError([f"server.data: {marker} is of another version of Pierhead"])
        # A copy may have left out what was empty.
        if not (marker.exists() and self.uploads.is_dir() and all(map(Path.is_dir, self._tops()))):
            self._make(marker)

    def _tops(self) -> list[Path]:
        return [self.root / "blobs" / algorithm for algorithm in HEX_LENGTHS]

    def _make(self, marker: Path) -> None:
        tops = [*self._tops(), self.uploads]
        for top in tops:
            top.mkdir(parents=True, exist_ok=True)
        leaves = [f"{top}/{number:02x}" for top in tops for number in range(256)]
        for leaf in leaves:
            with suppress(FileExistsError):
                os.mkdir(leaf)  # noqa: PTH102  # pathlib would take a tenth of the first start
        # The leaves first: the journal takes them all with the first, so that the rest cost little.
        for directory in [*leaves, *map(str, tops), f"{self.root}/blobs", f"{self.root}", f"{self.root.parent}"]:
            sync_directory(directory)
        self._mark(marker)

    def _mark(self, marker: Path) -> None:
        draft = marker.with_name(f"layout.{os.getpid()}")
        with draft.open("wb") as file:
            file.write(VERSION)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(marker)
        sync_directory(str(self.root))


def _older(file: os.DirEntry[str], moment: float) -> bool:
    try:
        return file.stat().st_mtime < moment
    except FileNotFoundError:  # it ended meanwhile
        return False


def sync_directory(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def forget(paths: list[str]) -> None:
    for path in paths:
        with suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108  # hot


def remove(paths: list[str]) -> None:
    """Forgets files for good: on return that survives power loss. Of many directories the first sync has the work."""
    forget(paths)
    for directory in sorted({path.rpartition("/")[0] for path in paths}):
        sync_directory(directory)
