"""States as directories. Most of a state is in the one before it too, and is left where it is."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from tests.crash.states.disk import Tree


class Bench:
    """A place where one state after another is laid out and opened."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._directories: set[str] = set()
        self._files: dict[str, tuple[int, int] | None] = {}

    def lay(self, tree: Tree) -> Path:
        """The state, and nothing that an earlier one left."""
        if not self._directories <= tree.directories or "data/layout" not in tree.files:
            self.clear()
        self._root.mkdir(exist_ok=True)
        for path in sorted(tree.directories - self._directories):
            (self._root / path).mkdir(exist_ok=True)
        self._directories = set(tree.directories)
        self._sweep(tree)
        for path, content in tree.files.items():
            if content.version is None or self._files.get(path) != content.version or _changes(path):
                (self._root / path).write_bytes(content.data)
                self._files[path] = content.version
        data = self._root / "data"
        data.mkdir(exist_ok=True)
        return data

    def clear(self) -> None:
        """After a state in which more was done than to look at it."""
        shutil.rmtree(self._root, ignore_errors=True)
        self._directories.clear()
        self._files.clear()

    def _sweep(self, tree: Tree) -> None:
        for path in self._files.keys() - tree.files.keys():
            with suppress(FileNotFoundError):
                (self._root / path).unlink()
            del self._files[path]
        with suppress(FileNotFoundError), os.scandir(self._root / "data") as found:
            for one in found:
                if one.is_file() and f"data/{one.name}" not in tree.files:
                    Path(one.path).unlink()


def _changes(path: str) -> bool:
    """Whether opening a state may change this file."""
    return path.count("/") == 1 or path.startswith("data/uploads/")
