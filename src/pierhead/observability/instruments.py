"""What counts: counters, gauges, histograms and readings of one process, as plain lists of numbers.

Adding is a dictionary look-up and an addition; sharing and text are elsewhere. Adding from
several threads is safe under CPython's GIL, which never changes hands within one addition.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence

Labels = tuple[str, ...]
Row = list[float]
Rows = dict[Labels, Row]


class Instrument:
    """A named family of rows, one per combination of label values; rows of several processes add up."""

    width = 1  # numbers in a row

    def __init__(self, name: str, description: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self.description = description
        self.labels = tuple(labels)
        self.rows: Rows = {}
        if not labels:
            self.row(())

    def row(self, labels: Labels) -> Row:
        if len(labels) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}, not {labels}")
        return self.rows.setdefault(labels, [0] * self.width)

    def copy(self) -> Rows:
        # list() first: another thread may add a row meanwhile.
        return {labels: row.copy() for labels, row in list(self.rows.items())}

    def merge(self, rows: Rows) -> None:
        for labels, numbers in rows.items():
            row = self.row(labels)
            row[:] = map(float.__add__, map(float, row), map(float, numbers))


class Counter(Instrument):
    """Only grows; survives its worker."""

    def add(self, amount: float, *labels: str) -> None:
        row = self.rows.get(labels) or self.row(labels)
        row[0] += amount


class Gauge(Instrument):
    """Goes up and down; the sum over the workers that live."""

    def add(self, amount: float, *labels: str) -> None:
        row = self.rows.get(labels) or self.row(labels)
        row[0] += amount

    def set(self, amount: float, *labels: str) -> None:
        self.row(labels)[0] = amount


class Histogram(Instrument):
    """A row is the sum, then one count per bucket, the last without an upper bound."""

    def __init__(self, name: str, description: str, labels: Sequence[str] = (), *, buckets: Sequence[float]) -> None:
        self.buckets = tuple(buckets)
        self.width = len(buckets) + 2
        super().__init__(name, description, labels)

    def observe(self, value: float, *labels: str) -> None:
        row = self.rows.get(labels) or self.row(labels)
        row[0] += value
        row[1 + bisect_left(self.buckets, value)] += 1


class Reading(Instrument):
    """Measured when asked for, by the worker that is asked: what is the same seen from each worker."""

    def __init__(self, name: str, description: str, labels: Sequence[str] = ()) -> None:
        self._sources: dict[Labels, Callable[[], float]] = {}
        super().__init__(name, description, labels)
        self.rows.clear()

    def watch(self, source: Callable[[], float], *labels: str) -> None:
        """`source` runs at each scrape; its OSError leaves the reading out."""
        self.row(labels)
        self.rows.clear()
        self._sources[labels] = source

    def copy(self) -> Rows:
        return {labels: [value] for labels, source in self._sources.items() if (value := _measured(source)) is not None}


def _measured(source: Callable[[], float]) -> float | None:
    try:
        return source()
    except OSError:
        return None
