"""`n` of a listing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pierhead.distribution.paging import page_size
from pierhead.errors import QueryInvalid


@pytest.mark.parametrize(
    ("n", "size"),
    [(None, 100), ("0", 0), ("1", 1), ("007", 7), ("100", 100), ("101", 100), ("9" * 18, 100), ("9" * 10_000, 100)],
)
def test_a_page_is_as_long_as_asked_for_up_to_the_largest(n: str | None, size: int) -> None:
    assert page_size(n, 100) == size


@pytest.mark.parametrize(
    "n", ["", "-1", "+1", " 1", "1 ", "1.0", "1e3", "0x10", "ten", "²", "٣", "1_000", "\x00", "NaN"]
)
def test_what_is_no_number_is_refused(n: str) -> None:
    with pytest.raises(QueryInvalid):
        page_size(n, 100)


@given(st.text() | st.integers().map(str), st.integers(1, 10_000))
def test_a_page_is_never_longer_than_the_largest(n: str, largest: int) -> None:
    try:
        size = page_size(n, largest)
    except QueryInvalid:
        return
    assert 0 <= size <= largest
