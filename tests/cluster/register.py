"""Whether what was read of one value can have been there: the register that many clients write and read at once.

Rules
- Each operation takes effect at one moment between its begin and its end.
- A write whose answer did not come is in doubt: it takes effect at any moment after its begin, or never. So does one
  that changes something only under a condition (a manifest's deletion takes along the tags that point to it).
- A read is explained by a write of its value that began before the read ended, unless another write lies wholly
  between the two.
- A value that was written once is there without a gap from its first sign to its last (Gibbons and Korach, "Testing
  shared memories", 1997: zones). Zones of two values do not overlap, and nothing else lies within one.

Pure functions of a history; who made it, and over which clock, does not matter here.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from math import inf

Value = str | None  # None: it is not there
_BEFORE = -1e18  # all that any clock shows


@dataclass(frozen=True, slots=True)
class Write:
    value: Value
    begin: float
    end: float = inf  # where it is in doubt
    certain: bool = False  # it took effect before it ended
    note: str = ""

    def __str__(self) -> str:
        doubt = "" if self.certain else ", in doubt"
        return f"{self.value} written in {self.begin:.3f}-{self.end:.3f}{doubt} {self.note}".rstrip()


@dataclass(frozen=True, slots=True)
class Read:
    value: Value
    begin: float
    end: float
    note: str = ""

    def __str__(self) -> str:
        return f"{self.value} read in {self.begin:.3f}-{self.end:.3f} {self.note}".rstrip()


def violations(writes: Iterable[Write], reads: Sequence[Read], *, initial: Value = None) -> list[str]:
    """What cannot have been so, in words; nothing where an order explains all that is looked at."""
    written = [Write(initial, _BEFORE, _BEFORE, certain=True), *writes]
    return [*_unexplained(written, reads), *_torn(written, reads)]


class _Latest:
    """The largest of some figures among all operations that come before a moment."""

    def __init__(self, pairs: Iterable[tuple[float, float]]) -> None:
        ordered = sorted(pairs)
        self._moments = [moment for moment, _ in ordered]
        self._largest = list(accumulate((figure for _, figure in ordered), max))

    def before(self, moment: float) -> float:
        position = bisect_left(self._moments, moment)
        return self._largest[position - 1] if position else -inf


def _unexplained(writes: list[Write], reads: Sequence[Read]) -> Iterator[str]:
    by_value: defaultdict[Value, list[Write]] = defaultdict(list)
    for write in writes:
        by_value[write.value].append(write)
    # One that ended before a read began, and what it overwrote ended before this one began.
    overwriting = _Latest((write.end, write.begin) for write in writes if write.certain)
    ends = {value: _Latest((write.begin, write.end) for write in same) for value, same in by_value.items()}
    never = _Latest([])
    for read in reads:
        horizon = overwriting.before(read.begin)
        latest = ends.get(read.value, never).before(read.end)
        if latest == -inf:
            yield f"{read}: nobody wrote that by then"
        elif latest < horizon:
            yield _stale(read, writes)


def _stale(read: Read, writes: list[Write]) -> str:
    over = [write for write in writes if write.certain and write.end < read.begin and write.value != read.value]
    newest = max(over, key=lambda write: write.begin, default=None)
    return f"{read}: before it, {newest}"


@dataclass(slots=True)
class _Zone:
    """All that tells of one value: `first` is the earliest end, `last` the latest begin."""

    value: Value
    first: float = inf
    last: float = -inf
    operations: list[Write | Read] = field(default_factory=list)

    def add(self, operation: Write | Read) -> None:
        self.first = min(self.first, operation.end)
        self.last = max(self.last, operation.begin)
        self.operations.append(operation)

    def __str__(self) -> str:
        return f"{self.value} was there in {self.first:.3f}-{self.last:.3f}"


def _torn(writes: list[Write], reads: Sequence[Read]) -> Iterator[str]:
    zones, moments = _zones(writes, reads)
    whole = sorted((zone for zone in zones if zone.first < zone.last), key=lambda zone: zone.first)
    for zone, following in pairwise(whole):
        if following.first < zone.last:
            yield f"{zone}, and {following}"
    short = [(zone.last, zone.first, zone.operations[0]) for zone in zones if zone.last <= zone.first < inf]
    yield from _inside(whole, [*moments, *short])


# Between the two, the operation's value is there.
_Moment = tuple[float, float, Write | Read]


def _zones(writes: list[Write], reads: Sequence[Read]) -> tuple[list[_Zone], list[_Moment]]:
    """The zones of values written once, and the moments of all that tells of others."""
    times = Counter(write.value for write in writes)
    zones = {value: _Zone(value) for value, count in times.items() if count == 1}
    moments: list[_Moment] = []
    operations: list[Write | Read] = [*writes, *reads]
    for operation in operations:
        if operation.value in zones:
            zones[operation.value].add(operation)
        elif isinstance(operation, Read) or operation.certain:
            moments.append((operation.begin, operation.end, operation))
    return list(zones.values()), moments


def _inside(whole: list[_Zone], moments: list[_Moment]) -> Iterator[str]:
    starts = [zone.first for zone in whole]
    for begin, end, operation in moments:
        position = bisect_left(starts, begin) - 1
        if position >= 0 and end < whole[position].last:
            yield f"{whole[position]}, and meanwhile {operation}"


def disordered(moves: Iterable[tuple[int, Write]]) -> Iterator[str]:
    """Writes, by their place in a record of them, that began after one ended that stands behind them."""
    earliest: Write | None = None
    for _, write in sorted(moves, key=lambda move: move[0], reverse=True):
        if earliest is not None and earliest.end < write.begin:
            yield f"{earliest} stands behind {write}"
        if earliest is None or write.end < earliest.end:
            earliest = write
