"""The checker itself: it agrees with a search through all orders, and names what is wrong in histories that are."""

from itertools import permutations
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cluster.register import Read, Value, Write, disordered, violations


def done(value: Value, begin: float, end: float) -> Write:
    return Write(value, begin, end, certain=True)


def doubtful(value: Value, begin: float) -> Write:
    return Write(value, begin)


EXPLAINED = {
    "nothing was written yet": ([], [Read(None, 1, 2)]),
    "what was acknowledged": ([done("a", 1, 2)], [Read("a", 3, 4)]),
    "a write that has not ended": ([done("a", 1, 4)], [Read("a", 2, 3)]),
    "not yet, since it has not ended": ([done("a", 1, 4)], [Read(None, 2, 3)]),
    "the one or the other of two at once": ([done("a", 1, 4), done("b", 1, 4)], [Read("a", 5, 6), Read("a", 7, 8)]),
    "a write in doubt that happened": ([done("a", 1, 2), doubtful("b", 3)], [Read("b", 5, 6)]),
    "a write in doubt that did not": ([done("a", 1, 2), doubtful("b", 3)], [Read("a", 5, 6)]),
    "a write in doubt that happened late": (
        [done("a", 1, 2), doubtful("b", 3)],
        [Read("a", 5, 6), Read("b", 7, 8)],
    ),
    "deleted": ([done("a", 1, 2), done(None, 3, 4)], [Read(None, 5, 6)]),
    "deleted with what it pointed to": (
        [done("a", 1, 2), Write(None, 3, 4), done("b", 5, 6)],
        [Read("b", 7, 8)],
    ),
    "written twice": ([done("a", 1, 2), done("b", 3, 4), done("a", 5, 6)], [Read("a", 7, 8)]),
}

WRONG = {
    "a value that nobody wrote": ([done("a", 1, 2)], [Read("b", 3, 4)]),
    "a value from before it was written": ([done("a", 3, 4)], [Read("a", 1, 2)]),
    "an acknowledged write is lost": ([done("a", 1, 2)], [Read(None, 3, 4)]),
    "an overwritten value": ([done("a", 1, 2), done("b", 3, 4)], [Read("a", 5, 6)]),
    "a deleted value": ([done("a", 1, 2), done(None, 3, 4)], [Read("a", 5, 6)]),
    "new, then old again": ([done("a", 1, 2), done("b", 3, 10)], [Read("b", 4, 5), Read("a", 6, 7)]),
    "in doubt and seen, then old again": ([done("a", 1, 2), doubtful("b", 3)], [Read("b", 4, 5), Read("a", 6, 7)]),
    "two values at once": (
        [done("a", 1, 20), done("b", 1, 20)],
        [Read("a", 2, 3), Read("b", 4, 5), Read("a", 6, 7), Read("b", 8, 9)],
    ),
    "seen, not there, seen": ([done("a", 1, 20)], [Read("a", 2, 3), Read(None, 4, 5), Read("a", 6, 7)]),
    "gone while nobody deletes": ([done("a", 1, 2), done(None, 10, 11)], [Read(None, 5, 6), Read("a", 7, 8)]),
    "there through its own deletion": (
        [done("a", 1, 20), done(None, 4, 5)],
        [Read("a", 2, 3), Read("a", 6, 7)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPLAINED)
def test_a_history_that_can_have_been_is_not_objected_to(name: str) -> None:
    writes, reads = EXPLAINED[name]

    assert violations(writes, reads) == []


@pytest.mark.parametrize("name", WRONG)
def test_a_history_that_cannot_have_been_is_found(name: str) -> None:
    writes, reads = WRONG[name]

    assert violations(writes, reads)


def test_a_finding_tells_the_read_and_what_contradicts_it() -> None:
    writes = [done("a", 1, 2), Write("b", 3, 4, certain=True, note="by client 7")]

    (found, *_) = violations(writes, [Read("a", 5, 6, "through node 2")])

    assert found == "a read in 5.000-6.000 through node 2: before it, b written in 3.000-4.000 by client 7"


def test_a_record_may_have_any_order_of_writes_at_once() -> None:
    moves = [(2, done("a", 1, 5)), (1, done("b", 2, 4)), (3, done("c", 6, 7)), (4, doubtful("d", 3))]

    assert list(disordered(moves)) == []


def test_a_record_that_turns_two_writes_round_is_found() -> None:
    moves = [(1, done("a", 5, 6)), (2, done("c", 1, 9)), (3, done("b", 1, 2))]

    (found,) = disordered(moves)

    assert found == "b written in 1.000-2.000 stands behind a written in 5.000-6.000"


def possible(writes: list[Write], reads: list[Read]) -> bool:
    """Whether some order of all operations is right; the definition, and slow."""
    certain = [write for write in writes if write.certain]
    doubts = [write for write in writes if not write.certain]
    chosen = [[doubt for bit, doubt in enumerate(doubts) if number >> bit & 1] for number in range(1 << len(doubts))]
    return any(_orderable([*certain, *some, *reads]) for some in chosen)


def _orderable(operations: list[Write | Read]) -> bool:
    return any(_in_time(order) and _right(order) for order in permutations(operations))


def _in_time(order: tuple[Write | Read, ...]) -> bool:
    latest = -inf
    for operation in order:
        latest = max(latest, operation.begin)
        if operation.end < latest:
            return False
    return True


def _right(order: tuple[Write | Read, ...]) -> bool:
    current: Value = None
    for operation in order:
        if isinstance(operation, Read):
            if operation.value != current:
                return False
        else:
            current = operation.value
    return True


@st.composite
def histories(draw: st.DrawFn, *, unique: bool) -> tuple[list[Write], list[Read]]:
    """Up to six operations, no two moments alike, right or wrong as it happens."""
    count = draw(st.integers(1, 6))
    moments = draw(st.permutations(range(2 * count)))
    writes: list[Write] = []
    reads: list[Read] = []
    for number in range(count):
        begin, end = sorted(moments[2 * number : 2 * number + 2])
        kind = draw(st.sampled_from(("read", "read", "write", "doubt")))
        if kind == "read":
            reads.append(Read(draw(st.sampled_from((None, "0", "1", "2"))), begin, end))
            continue
        value = str(len(writes)) if unique else draw(st.sampled_from((None, "0", "1")))
        writes.append(done(value, begin, end) if kind == "write" else doubtful(value, begin))
    return writes, reads


@given(histories(unique=True))
def test_where_each_value_is_written_once_the_checker_is_exact(history: tuple[list[Write], list[Read]]) -> None:
    writes, reads = history

    assert (violations(writes, reads) == []) == possible(writes, reads)


@given(histories(unique=False))
def test_no_history_that_can_have_been_is_objected_to(history: tuple[list[Write], list[Read]]) -> None:
    writes, reads = history

    if possible(writes, reads):
        assert violations(writes, reads) == []
