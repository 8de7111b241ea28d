"""What all clients did and were told, on one clock; `register` judges it, key by key."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf

from tests.cluster.register import Read, Value, Write, violations

Key = tuple[str, str, str]  # blob | manifest | tag, repository, name
Changes = Mapping[Key, Value]
THERE = "there"  # of blobs and manifests; the value of a tag is a digest


@dataclass(slots=True)
class History:
    """Operations are added once they are over, from any thread."""

    writes: defaultdict[Key, list[Write]] = field(default_factory=lambda: defaultdict(list))
    reads: defaultdict[Key, list[Read]] = field(default_factory=lambda: defaultdict(list))
    _began: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self) -> float:
        """Seconds since the history began."""
        return time.monotonic() - self._began

    def wrote(self, changes: Changes, begin: float, note: str) -> None:
        self._add(changes, begin, self.now(), certain=True, note=note)

    def may_have_written(self, changes: Changes, begin: float, note: str) -> None:
        """What changes only under a condition, and did so by now if at all."""
        self._add(changes, begin, self.now(), certain=False, note=note)

    def doubt(self, changes: Changes, begin: float, note: str) -> None:
        """No answer came: it may happen at any time."""
        self._add(changes, begin, inf, certain=False, note=note)

    def _add(self, changes: Changes, begin: float, end: float, *, certain: bool, note: str) -> None:
        with self._lock:
            for key, value in changes.items():
                self.writes[key].append(Write(value, begin, end, certain=certain, note=note))

    def read(self, key: Key, value: Value, begin: float, note: str) -> None:
        with self._lock:
            self.reads[key].append(Read(value, begin, self.now(), note))

    @property
    def acknowledged(self) -> int:
        return sum(write.certain for writes in self.writes.values() for write in writes)

    @property
    def doubts(self) -> int:
        return sum(write.end == inf for writes in self.writes.values() for write in writes)

    @property
    def looks(self) -> int:
        return sum(map(len, self.reads.values()))

    def keys(self, *kinds: str) -> list[Key]:
        """All that somebody wrote or may have written."""
        return [key for key in self.writes if key[0] in kinds]

    def violations(self) -> list[str]:
        return [f"{' '.join(key)}: {found}" for key in self._all() for found in self._of(key)]

    def _all(self) -> Iterable[Key]:
        return {**self.writes, **self.reads}

    def _of(self, key: Key) -> list[str]:
        return violations(self.writes.get(key, []), self.reads.get(key, []))
