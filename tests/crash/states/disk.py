"""What a power cut can leave of a sequence of operations on files: a model, without a disk.

Rules
- What was written and not synced may survive or not, page by page, each page in any version that it had since the last
  sync, or sector by sector where the cut tore it. Bytes that are missing below a surviving end read as zeros.
- A sync keeps what was written to its file by calls that had ended when it began, from the moment that it has ended.
- A call that has not ended may have done its work or not.
- Names, and what shortens a file, follow one of two promises:
  EXT4      they go through one journal, in order: any beginning of what was done since the last commit survives, and a
            sync of a file or a directory commits the journal as far as the latest change of that file or directory.
  FSYNC     only what fsync(2) says: a name is kept by a sync of its directory, and until then each may survive or not.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from random import Random

PAGE, SECTOR = 4096, 512
NEVER = 1 << 60  # when a call ended that did not
Block = int


class Promise(Enum):
    EXT4 = "ext4"
    FSYNC = "fsync(2)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    began: int
    ended: int


@dataclass(frozen=True, slots=True)
class Write(Operation):
    file: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate(Operation):
    file: int
    size: int


@dataclass(frozen=True, slots=True)
class Name(Operation):
    """A file gets a name: it was made, or linked."""

    path: str
    file: int


@dataclass(frozen=True, slots=True)
class Directory(Operation):
    path: str


@dataclass(frozen=True, slots=True)
class Forget(Operation):
    """An unlinked file, or a removed directory."""

    path: str


@dataclass(frozen=True, slots=True)
class Rename(Operation):
    path: str
    target: str


@dataclass(frozen=True, slots=True)
class Sync(Operation):
    """Of a file, or of a directory. `size_only`: fdatasync, which commits no names for their own sake."""

    target: int | str
    size_only: bool = False


Naming = Name | Directory | Forget | Rename
Change = Write | Truncate


@dataclass(frozen=True, slots=True)
class Content:
    """`version` is equal where the bytes are; None where nobody knows."""

    data: bytes
    version: tuple[int, int] | None = None


@dataclass(slots=True)
class Tree:
    directories: set[str] = field(default_factory=set)
    files: dict[str, Content] = field(default_factory=dict)


@dataclass(slots=True)
class _File:
    """`kept` is what a cut cannot take; `changes` came since, and may be lost."""

    kept: bytearray = field(default_factory=bytearray)
    changes: list[Change] = field(default_factory=list)
    grown: list[int] = field(default_factory=list)  # when a change began that made it longer or shorter
    size: int = 0
    version: int = 0
    settled: Content | None = None  # `kept`, once somebody asked for it

    def change(self, change: Change) -> None:
        end = change.size if isinstance(change, Truncate) else max(self.size, change.offset + len(change.data))
        if end != self.size:
            self.size = end
            self.grown.append(change.began)
        self.changes.append(change)

    def sync(self, until: int) -> int:
        """Keeps what had ended by then; returns when the latest change of its length began that this keeps."""
        covered = [change for change in self.changes if change.ended <= until]
        for change in covered:
            _apply(self.kept, change)
        self.changes = [change for change in self.changes if change.ended > until]
        if covered:
            self.version, self.settled = self.version + 1, None
        reach = max((began for began in self.grown if began < until), default=-1)
        self.grown = [began for began in self.grown if began >= until]
        return reach


def moments(operations: list[Operation]) -> list[int]:
    """When a cut may come: after each beginning and each end of a call."""
    return [moment for moment, _, _ in _events(operations)]


def _events(operations: list[Operation]) -> list[tuple[int, int, int]]:
    begins = [(one.began, 0, number) for number, one in enumerate(operations)]
    return sorted([*begins, *((one.ended, 1, n) for n, one in enumerate(operations) if isinstance(one, Sync))])


class Disk:
    def __init__(self, promise: Promise = Promise.EXT4) -> None:
        self.promise = promise
        self.files: dict[int, _File] = {}
        self._kept = Names()
        self._names: list[Naming] = []
        self._live = Names()
        # When changes ended of the names of this file, or in this directory.
        self._touches: dict[int | str, list[int]] = {}

    def run(self, operations: list[Operation]) -> Iterator[int]:
        """Does all of it, and stops at each of the `moments`."""
        for moment, ends, number in _events(operations):
            operation = operations[number]
            if not isinstance(operation, Sync):
                self._begin(operation)
            elif ends:
                self._sync(operation)
            yield moment

    def _begin(self, operation: Operation) -> None:
        if isinstance(operation, Write | Truncate):
            self.files.setdefault(operation.file, _File()).change(operation)
        elif isinstance(operation, Name | Directory | Forget | Rename):
            self._names.append(operation)
            file = self._live.files.get(operation.path)
            self._live.apply(operation)
            place = _place(operation)
            for target in {_folder(place), place, file, self._live.files.get(place)} - {None}:
                self._touches.setdefault(target or "", []).append(operation.ended)

    def _sync(self, sync: Sync) -> None:
        reach = -1
        if isinstance(sync.target, int):
            reach = self.files.setdefault(sync.target, _File()).sync(sync.began)
        ended = [naming for naming in self._names if naming.ended <= sync.began]
        if self.promise is Promise.FSYNC:
            covered = [naming for naming in ended if _folder(_place(naming)) == sync.target]
        else:
            if not (sync.size_only and isinstance(sync.target, int)):
                reach = max([reach, *(end for end in self._touches.get(sync.target, ()) if end <= sync.began)])
            covered = [naming for naming in ended if naming.ended <= reach]
        for naming in covered:
            self._kept.apply(naming)
        if covered:
            done = set(map(id, covered))
            self._names = [naming for naming in self._names if id(naming) not in done]

    def whole(self) -> Tree:
        """What is there without a cut."""
        return self._tree(self._names, lambda file: _composed(file, len(file.changes)))

    def survivors(self, chance: Random) -> Tree:
        """One of the states that a cut at this moment can leave."""
        pick = _Pick(chance, [change for file in self.files.values() for change in file.changes], self.promise)
        return self._tree(pick.names(self._names), pick.content)

    def _tree(self, names: list[Naming], compose: Callable[[_File], bytes]) -> Tree:
        found = self._kept.copy()
        for naming in names:
            found.apply(naming)
        tree = Tree(directories=found.reachable())
        for path, number in found.files.items():
            if _folder(path) in tree.directories or not _folder(path):
                file = self.files.setdefault(number, _File())
                if file.changes:
                    tree.files[path] = Content(compose(file))
                    continue
                file.settled = file.settled or Content(bytes(file.kept), (number, file.version))
                tree.files[path] = file.settled
        return tree


class Names:
    def __init__(self) -> None:
        self.files: dict[str, int] = {}
        self.directories: set[str] = set()

    def copy(self) -> "Names":
        copy = Names()
        copy.files, copy.directories = dict(self.files), set(self.directories)
        return copy

    def apply(self, naming: Naming) -> None:
        """What cannot be done, since something before it did not survive, is not."""
        if isinstance(naming, Directory):
            self.directories.add(naming.path)
        elif isinstance(naming, Name):
            self.files[naming.path] = naming.file
        elif isinstance(naming, Forget):
            self.files.pop(naming.path, None)
            self.directories.discard(naming.path)
        elif naming.path in self.files:
            self.files[naming.target] = self.files.pop(naming.path)

    def reachable(self) -> set[str]:
        found: set[str] = set()
        for path in sorted(self.directories):
            if not _folder(path) or _folder(path) in found:
                found.add(path)
        return found


class _Pick:
    """Chooses what survives: often the extremes, which are where programs fail, else anything in between."""

    def __init__(self, chance: Random, changes: list[Change], promise: Promise) -> None:
        self._chance = chance
        self._promise = promise
        self._style = chance.choice(("nothing", "everything", "beginning", "pages", "sectors", "mixed", "mixed"))
        began = [change.began for change in changes]
        self._until = chance.choice(began) if began else 0

    def names(self, names: list[Naming]) -> list[Naming]:
        share = self._chance.choice((0.0, 1.0, self._chance.random()))
        if self._promise is Promise.EXT4:
            return names[: round(share * len(names))]
        return [naming for naming in names if self._chance.random() < share]

    def content(self, file: _File) -> bytes:
        style = self._style
        if style == "mixed":
            style = self._chance.choice(("nothing", "everything", "pages", "sectors"))
        if style == "nothing":
            return _composed(file, 0)
        if style == "everything":
            return _composed(file, len(file.changes))
        if style == "beginning":
            return _composed(file, sum(change.began <= self._until for change in file.changes))
        return self._torn(file, SECTOR if style == "sectors" else PAGE)

    def _torn(self, file: _File, block: int) -> bytes:
        """Each page or sector in one of the versions that it had."""
        share = self._chance.choice((0.1, 0.5, 0.9))
        versions: dict[Block, int] = {}
        shortened = self._chance.randrange(len(file.changes) + 1)
        content, limit = bytearray(file.kept), NEVER
        for number, change in enumerate(file.changes):
            if isinstance(change, Truncate):
                if number < shortened:
                    _apply(content, change)
                else:  # what was written there later has its place by a later commit of the journal
                    limit = min(limit, change.size)
                continue
            for start, end in _blocks(change, block):
                version = versions.get(start // block)
                if version is None:
                    version = versions[start // block] = self._version(len(file.changes), share)
                if number < version and end <= limit:
                    _put(content, start, change.data[start - change.offset : end - change.offset])
        return bytes(content)

    def _version(self, count: int, share: float) -> int:
        kind = self._chance.random()
        if kind < 0.7:
            return count if self._chance.random() < share else 0
        return self._chance.randrange(count + 1)


def _composed(file: _File, upto: int) -> bytes:
    content = bytearray(file.kept)
    for change in file.changes[:upto]:
        _apply(content, change)
    return bytes(content)


def _apply(content: bytearray, change: Change) -> None:
    if isinstance(change, Write):
        _put(content, change.offset, change.data)
    elif change.size <= len(content):
        del content[change.size :]
    else:
        content.extend(bytes(change.size - len(content)))


def _put(content: bytearray, offset: int, data: bytes) -> None:
    if offset > len(content):
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _blocks(change: Write, block: int) -> Iterator[tuple[int, int]]:
    end = change.offset + len(change.data)
    for number in count(change.offset // block):
        start = max(change.offset, number * block)
        if start >= end:
            return
        yield start, min(end, (number + 1) * block)


def _place(naming: Naming) -> str:
    return naming.target if isinstance(naming, Rename) else naming.path


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
