"""What a server and its children cost: processor time, and memory of their own."""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_TICKS = os.sysconf("SC_CLK_TCK")
_SAMPLE_SECONDS = 0.05


def tree(pid: int) -> list[int]:
    found = [pid]
    for task in _listed(f"/proc/{pid}/task"):
        for child in _text(f"/proc/{pid}/task/{task}/children").split():
            found += tree(int(child))
    return found


def cpu_seconds(pid: int) -> float:
    """Of the whole tree, with children that ended."""
    total = 0
    for member in tree(pid):
        fields = _text(f"/proc/{member}/stat").rpartition(")")[2].split()
        total += sum(map(int, fields[11:15])) if fields else 0
    return total / _TICKS


def memory(pid: int) -> int:
    """RssAnon and RssShmem of the whole tree, in bytes."""
    total = 0
    for member in tree(pid):
        for line in _text(f"/proc/{member}/status").splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                total += int(line.split()[1]) * 1024
    return total


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:  # it ended meanwhile
        return ""


def _listed(path: str) -> list[str]:
    try:
        return [entry.name for entry in Path(path).iterdir()]
    except OSError:
        return []


@dataclass(slots=True)
class Cost:
    cpu: float = 0.0  # seconds
    peak: int = 0  # bytes


class Watch:
    """Measures the cost of servers while its block runs."""

    def __init__(self, *pids: int, helpers: Sequence[int] = ()) -> None:
        self._pids = pids
        self._helpers = helpers  # whose processor time counts too, and not their memory
        self._over = threading.Event()
        self.cost = Cost()

    def __enter__(self) -> Self:
        self._before = self._cpu()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self.cost.cpu = self._cpu() - self._before

    def _cpu(self) -> float:
        return sum(map(cpu_seconds, (*self._pids, *self._helpers)))

    def _sample(self) -> None:
        while True:
            self.cost.peak = max(self.cost.peak, sum(map(memory, self._pids)))
            if self._over.wait(_SAMPLE_SECONDS):
                return
