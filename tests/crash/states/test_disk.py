"""The model of what a cut leaves, on histories that are short enough to say all that may be left."""

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from tests.crash.states.disk import (
    NEVER,
    PAGE,
    SECTOR,
    Directory,
    Disk,
    Forget,
    Name,
    Operation,
    Promise,
    Rename,
    Sync,
    Truncate,
    Write,
)

OLD, NEW = b"o" * PAGE, b"n" * PAGE


def at(moment: int) -> dict[str, Any]:
    return {"began": moment, "ended": moment}


def left(operations: Sequence[Operation], promise: Promise = Promise.EXT4) -> list[dict[str, bytes]]:
    """States that a cut after all of these leaves, many times over."""
    disk = Disk(promise)
    for _ in disk.run(list(operations)):
        pass
    trees = [disk.survivors(Random(seed)) for seed in range(400)]
    return [{path: content.data for path, content in tree.files.items()} for tree in trees]


def contents(operations: Sequence[Operation], path: str = "a") -> set[bytes]:
    return {state[path] for state in left(operations)}


MADE = (Name("a", 1, **at(0)), Write(1, 0, OLD, **at(1)), Sync(1, **at(2)), Sync("", **at(3)))


def test_what_was_synced_is_left_by_every_cut() -> None:
    assert contents(MADE) == {OLD}


def test_a_page_that_was_not_synced_is_old_or_new_or_torn_between_sectors() -> None:
    found = contents([*MADE, Write(1, 0, NEW, **at(4))])

    assert {OLD, NEW} < found
    assert any(len({*page}) == 2 for page in found)
    for page in found:
        sectors = [page[start : start + SECTOR] for start in range(0, PAGE, SECTOR)]
        assert {*sectors} <= {OLD[:SECTOR], NEW[:SECTOR]}


def test_a_later_write_may_be_left_without_an_earlier_one_and_zeros_between_them() -> None:
    found = contents([*MADE, Write(1, PAGE, NEW, **at(4)), Write(1, 2 * PAGE, NEW, **at(5))])

    assert {OLD, OLD + NEW, OLD + NEW + NEW, OLD + bytes(PAGE) + NEW} <= found


def test_a_page_that_was_written_twice_may_be_left_as_it_was_in_between() -> None:
    middle = b"m" * PAGE
    assert middle in contents([*MADE, Write(1, 0, middle, **at(4)), Write(1, 0, NEW, **at(5))])


def test_a_sync_keeps_nothing_that_had_not_ended_when_it_began() -> None:
    late = Write(1, 0, NEW, began=4, ended=6)
    assert OLD in contents([*MADE, late, Sync(1, began=5, ended=7)])
    assert contents([*MADE, late, Sync(1, began=7, ended=8)]) == {NEW}


def test_a_sync_that_has_not_ended_keeps_nothing() -> None:
    assert OLD in contents([*MADE, Write(1, 0, NEW, **at(4)), Sync(1, began=5, ended=NEVER)][:-1])
    disk = Disk()
    for moment in disk.run([*MADE, Write(1, 0, NEW, **at(4)), Sync(1, began=5, ended=9), Directory("d", **at(7))]):
        if moment == 7:
            break
    assert OLD in {disk.survivors(Random(seed)).files["a"].data for seed in range(100)}


def test_a_file_that_was_cut_short_is_long_or_short() -> None:
    assert contents([*MADE, Truncate(1, 10, **at(4))]) == {OLD, OLD[:10]}
    assert contents([*MADE, Truncate(1, 10, **at(4)), Sync(1, **at(5))]) == {OLD[:10]}


def test_names_are_left_in_the_order_in_which_they_were_given_on_ext4() -> None:
    names = [Name("b", 2, **at(4)), Forget("a", **at(5)), Rename("b", "c", **at(6))]
    found = {tuple(sorted(state)) for state in left([*MADE, *names])}

    assert found == {("a",), ("a", "b"), ("b",), ("c",)}


def test_any_names_are_left_that_their_directory_was_not_synced_for_by_the_words_of_fsync() -> None:
    names = [Name("b", 2, **at(4)), Forget("a", **at(5))]
    found = {tuple(sorted(state)) for state in left([*MADE, *names], Promise.FSYNC)}

    assert found == {("a",), ("a", "b"), ("b",), ()}


@pytest.mark.parametrize(("promise", "kept"), [(Promise.EXT4, True), (Promise.FSYNC, False)])
def test_a_sync_of_a_file_keeps_its_new_name_on_ext4_and_not_by_the_words_of_fsync(
    promise: Promise, kept: bool
) -> None:
    states = left([*MADE, Name("b", 1, **at(4)), Sync(1, **at(5))], promise)
    assert all("b" in state for state in states) is kept

    states = left([*MADE, Name("b", 1, **at(4)), Sync("", **at(5))], promise)
    assert all("b" in state for state in states)


def test_a_sync_of_a_file_keeps_no_name_that_came_after_its_latest_change() -> None:
    states = left([*MADE, Name("b", 2, **at(4)), Sync(1, **at(5))])
    assert not all("b" in state for state in states)


def test_fdatasync_keeps_a_name_only_where_the_file_grew_after_it() -> None:
    link = Name("b", 1, **at(4))
    assert not all("b" in state for state in left([*MADE, link, Sync(1, True, **at(6))]))
    grown = Write(1, PAGE, NEW, **at(5))
    assert all("b" in state for state in left([*MADE, link, grown, Sync(1, True, **at(6))]))


def test_what_lies_in_a_directory_that_was_not_left_is_not_left() -> None:
    operations = [Directory("d", **at(0)), Name("d/a", 1, **at(1)), Sync("d", **at(2))]

    assert {tuple(state) for state in left(operations)} == {("d/a",)}
    assert {tuple(state) for state in left(operations, Promise.FSYNC)} == {("d/a",), ()}


def test_bytes_outlive_the_name_that_was_taken_from_them_by_another_name() -> None:
    states = left([*MADE, Name("b", 1, **at(4)), Sync("", **at(5)), Forget("a", **at(6)), Sync("", **at(7))])
    assert states[0] == {"b": OLD}
    assert all(state == states[0] for state in states)
