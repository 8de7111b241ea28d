"""What one process asked, what it was answered, and when: a line at its beginning and one at its end, so that a
process that is killed leaves what it had asked. Times are those of a clock that all processes of a machine share.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Act:
    """`answer` is "done", the name of a refusal, or None where the process died; `end` is then later than that."""

    what: str
    asked: dict[str, Any]
    begin: float
    end: float = 0
    answer: str | None = None
    told: Any = None

    @property
    def done(self) -> bool:
        return self.answer == "done"

    @property
    def doubt(self) -> bool:
        return self.answer is None

    @property
    def repository(self) -> str:
        return str(self.asked["repository"])


@dataclass(slots=True)
class Recorder:
    path: Path
    _number: int = 0
    _file: int = field(init=False)

    def __post_init__(self) -> None:
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def begin(self, what: str, asked: dict[str, Any]) -> int:
        self._number += 1
        self._write({"number": self._number, "what": what, "asked": asked, "at": time.monotonic()})
        return self._number

    def end(self, number: int, answer: str, told: Any = None) -> None:
        self._write({"number": number, "answer": answer, "told": told, "at": time.monotonic()})

    def _write(self, line: dict[str, Any]) -> None:
        os.write(self._file, json.dumps(line).encode() + b"\n")


def read(path: Path, death: float) -> Iterator[Act]:
    """All acts of a process, which lived until `death` at the latest."""
    acts: dict[int, Act] = {}
    for line in path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        told = json.loads(line)
        if "what" in told:
            acts[told["number"]] = Act(told["what"], told["asked"], told["at"], death)
        else:
            act = acts[told["number"]]
            act.answer, act.told, act.end = told["answer"], told["told"], told["at"]
    yield from acts.values()
