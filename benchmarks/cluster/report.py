"""The page: a table of medians, what each costs, and each goal beside what was reached."""

import os
import platform
import statistics
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.cluster.fleets import DISTRIBUTION, OURS
from benchmarks.cluster.rows import Row
from benchmarks.loads import Loaded
from benchmarks.procfs import Cost
from benchmarks.report import merged

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "benchmark-cluster.md"
_START, _END = "<!-- table -->", "<!-- /table -->"
MIB = 1 << 20


@dataclass(slots=True)
class Figures:
    """The measurements of one fleet."""

    per_second: list[float] = field(default_factory=list)
    per_processor: list[float] = field(default_factory=list)  # second of processor time
    waits: list[float] = field(default_factory=list)  # milliseconds
    peak: int = 0  # bytes

    def add(self, row: Row, loaded: Loaded, cost: Cost) -> None:
        per_second = loaded.rate if row.unit == "/s" else loaded.megabytes
        self.per_second.append(per_second)
        self.per_processor.append(per_second * loaded.seconds / max(cost.cpu, 0.01))
        self.waits.append(loaded.wait)
        self.peak = max(self.peak, cost.peak)

    @property
    def median(self) -> float:
        return statistics.median(self.per_second)

    @property
    def wait(self) -> float:
        return statistics.median(self.waits)

    def cell(self) -> str:
        waited = f" · {self.wait:,.0f} ms" if self.wait else ""
        costs = f"{number(statistics.median(self.per_processor))} · {self.peak / MIB:.0f} MiB"
        return f"{number(self.median)} · {costs}{waited}"


@dataclass(frozen=True, slots=True)
class Line:
    row: Row
    figures: dict[str, Figures]

    def __str__(self) -> str:
        cells = [f"{name} {found.cell()}" for name, found in self.figures.items()]
        return f"{self.row.name} ({self.row.unit}): {'; '.join(cells)}; {self.verdict()}"

    def verdict(self) -> str:
        ours, theirs = self.figures.get(OURS), self.figures.get(DISTRIBUTION)
        parts = []
        if ours and theirs and self.row.goal:
            times = ours.median / theirs.median
            parts.append(f"{times:.2f} x {DISTRIBUTION} (goal {self.row.goal:g}: {_met(well=times >= self.row.goal)})")
        if ours and theirs and self.row.wait_goal:
            times, goal = ours.wait / theirs.wait, self.row.wait_goal
            parts.append(f"{times:.2f} x its wait (goal {goal:g}: {_met(well=times <= goal)})")
        if ours and self.row.memory:
            peak = ours.peak / MIB
            parts.append(f"{peak:.0f} MiB (goal {self.row.memory}: {_met(well=peak <= self.row.memory)})")
        return ", ".join(parts)


def _met(*, well: bool) -> str:
    return "met" if well else "**missed**"


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"  # noqa: PLR2004  three digits are enough


def table(lines: list[Line], rounds: int, seconds: float) -> str:
    names = list(dict.fromkeys(name for line in lines for name in line.figures))
    facts = (
        f"{len(os.sched_getaffinity(0))} processors, Linux {platform.release().split('-')[0]}, Python "
        f"{platform.python_version()}; {rounds} rounds, requests and small images {seconds:g} s each."
    )
    rows = ["| work | " + " | ".join(names) + " | goals |", "| --- |" + " --- |" * (len(names) + 1)]
    for line in lines:
        cells = [line.figures[name].cell() if name in line.figures else "" for name in names]
        rows.append("| " + " | ".join([f"{line.row.name}, {line.row.unit}", *cells, line.verdict()]) + " |")
    return "\n".join([facts, "", *rows])


def write(text: str) -> None:
    """Keeps a table in the documentation; one of fewer rows replaces those rows alone."""
    before, _, rest = PAGE.read_text().partition(_START)
    kept, _, after = rest.partition(_END)
    PAGE.write_text(f"{before}{_START}\n\n{merged(kept.strip(), text)}\n\n{_END}{after}")
