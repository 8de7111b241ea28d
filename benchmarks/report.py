"""The table: medians, ratios to each goal, processor time and memory."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import apsw

from benchmarks import peers
from benchmarks.peers import ANONYMOUS, BEFORE, NGINX, OURS
from benchmarks.rows import BEST, Bench

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "benchmark.md"
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Figures:
    median: float
    cpu: float  # seconds of one measurement
    peak: int  # bytes


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    unit: str
    goals: dict[str, float]
    figures: dict[str, Figures]
    notes: tuple[str, ...] = ()  # goals of another kind

    def __str__(self) -> str:
        cells = [f"{name} {_number(found.median)}" for name, found in self.figures.items()]
        return f"{self.name} ({self.unit}): {'; '.join(cells)}; {self.verdict()}"

    def verdict(self) -> str:
        """Ratio to each goal that could be measured, and whether it was met."""
        ours = self.figures[OURS].median
        parts = list(self.notes)
        for rival, times in self.goals.items():
            theirs = self._rival(rival)
            if theirs:
                met = "met" if ours >= times * theirs else "**missed**"
                parts.append(f"{ours / theirs:.2f} x {rival} (goal {times:g}: {met})")
        if BEFORE in self.figures:
            parts.append(f"{ours / self.figures[BEFORE].median:.2f} x before")
        return ", ".join(parts) or ""

    def _rival(self, name: str) -> float:
        others = {
            rival: found.median
            for rival, found in self.figures.items()
            if not rival.startswith(OURS) and rival != NGINX
        }
        if name == BEST:
            return max(others.values(), default=0.0)
        return self.figures[name].median if name in self.figures else 0.0


def table(lines: list[Line], bench: Bench) -> str:
    # All that are there, measured here or not: so that a part of the table fits the whole.
    names = list(dict.fromkeys([*peers.available(), *(name for line in lines for name in line.figures), ANONYMOUS]))
    rows = ["| work | " + " | ".join(names) + " | goals |", "| --- |" + " --- |" * (len(names) + 1)]
    rows += [
        "| " + " | ".join([f"{line.name}, {line.unit}", *_cells(line, names), line.verdict()]) + " |" for line in lines
    ]
    facts = (
        f"{_cores()} processors, Linux {platform.release().split('-')[0]}, Python {platform.python_version()}, "
        f"SQLite {apsw.sqlite_lib_version()}; client and server share the processors. "
        f"Each cell: median of the rounds · processor seconds of a measurement · peak memory of its own (MiB). "
        f"Requests last {bench.seconds:g} s a measurement."
    )
    return "\n".join([facts, "", *rows])


def _cells(line: Line, names: list[str]) -> list[str]:
    return [_cell(line.figures[name]) if name in line.figures else "" for name in names]


def _cell(found: Figures) -> str:
    cost = f" · {found.cpu:.1f} s · {found.peak / MIB:.0f}" if found.peak else ""
    return f"{_number(found.median)}{cost}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"  # noqa: PLR2004  three digits are enough


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def write(text: str, mark: str = "table") -> None:
    """Keeps a table in the documentation; one of fewer rows and the same registries replaces those rows alone."""
    start, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    before, _, rest = PAGE.read_text().partition(start)
    kept, _, after = rest.partition(end)
    PAGE.write_text(f"{before}{start}\n\n{merged(kept.strip(), text)}\n\n{end}{after}")


def merged(kept: str, text: str) -> str:
    new = {line.split("|")[1]: line for line in text.splitlines() if line.startswith("| ")}
    old = {line.split("|")[1]: line for line in kept.splitlines() if line.startswith("| ")}
    if new.get(" work ") != old.get(" work ") or not set(new) < set(old):
        return text
    return "\n".join(new.get(line.partition("|")[2].partition("|")[0], line) for line in kept.splitlines())
