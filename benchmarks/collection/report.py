"""The table of collection, beside that of the other rows on the page of the benchmark."""

import os
import platform
from dataclasses import dataclass

import apsw

from benchmarks import report
from benchmarks.peers import DISTRIBUTION_3, OURS

_MARK = "collection"
_NAMES = (OURS, DISTRIBUTION_3)


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    cells: dict[str, str]
    goal: str

    def __str__(self) -> str:
        cells = [f"{name} {cell}" for name, cell in self.cells.items()]
        return f"{self.name}: {'; '.join(cells)}; {self.goal}"


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"  # noqa: PLR2004  three digits are enough


def ratio(times: float, goal: float) -> str:
    return f"{times:.2f} x (goal {goal:g}: {'met' if times <= goal else '**missed**'})"


def table(lines: list[Line], *, blobs: int, rounds: int, seconds: float) -> str:
    facts = (
        f"{blobs:,} blobs; {len(os.sched_getaffinity(0))} processors, Linux {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}; medians of {rounds} rounds, "
        f"phases of {seconds:g} s."
    )
    rows = ["| work | " + " | ".join(_NAMES) + " | goals |", "| --- |" + " --- |" * (len(_NAMES) + 1)]
    rows += [
        "| " + " | ".join([line.name, *(line.cells.get(name, "") for name in _NAMES), line.goal]) + " |"
        for line in lines
    ]
    return "\n".join([facts, "", *rows])


def write(text: str) -> None:
    report.write(text, _MARK)
