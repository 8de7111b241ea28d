"""Copies under their names: written durably, with the directories that they need, listed and read."""

import os
import secrets
from pathlib import Path

from pierhead.blobs.files.layout import sync_directory
from pierhead.errors import BlobMissing


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


def forget(root: Path, name: str) -> None:
    target = root / name
    if target.parent.is_dir():
        target.unlink(missing_ok=True)
        sync_directory(str(target.parent))


def _make(directory: Path) -> None:
    """Makes a directory and those above it; each is synced, also where another process has just made it."""
    if not directory.is_dir():
        _make(directory.parent)
        directory.mkdir(exist_ok=True)
        sync_directory(str(directory.parent))


def names(root: Path, folder: str) -> list[str]:
    found = []
    for directory, _, files in os.walk(root / folder):
        found += [f"{directory}/{file}" for file in files if not file.startswith(".")]
    return [os.path.relpath(path, root) for path in found]


def read(root: Path, name: str) -> bytes:
    """Raises BlobMissing."""
    try:
        return (root / name).read_bytes()
    except FileNotFoundError as error:
        raise BlobMissing(name) from error
