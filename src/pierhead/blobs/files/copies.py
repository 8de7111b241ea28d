"""Writing a copy under its name, durably, with the directories that it needs."""

import os
import secrets
from pathlib import Path

from pierhead.blobs.files.layout import sync_directory


def keep(root: Path, name: str, content: bytes) -> None:
    target = root / name
    _make(target.parent)
    draft = target.with_name(f".{secrets.token_hex(8)}")
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(target)
    finally:
        draft.unlink(missing_ok=True)
    sync_directory(str(target.parent))


def _make(directory: Path) -> None:
    """Makes a directory and those above it; each is synced, also where another process has just made it."""
    if not directory.is_dir():
        _make(directory.parent)
        directory.mkdir(exist_ok=True)
        sync_directory(str(directory.parent))
