"""Content-Range of a chunk, without a server."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pierhead.distribution.uploads import parse_chunk
from pierhead.errors import HeaderInvalid, PierheadError, SizeInvalid


@pytest.mark.parametrize("stated", [b"0-9", b"bytes 0-9", b"bytes=0-9", b"0-9/10", b"bytes 0-9/*", b" 0-9 ", b"00-09"])
def test_a_chunk_says_its_first_and_last_byte(stated: bytes) -> None:
    assert parse_chunk(stated, 10) == parse_chunk(stated, None) == (0, 9)


@pytest.mark.parametrize(
    "stated",
    [
        b"", b"-", b"0-", b"-9", b"0--9", b"-1-9", b"a-b", b"0-9-10", b"0 - 9", b"bytes", b"bytes 0-9/", b"items 0-9",
        b"0-9/x", b"*/10", b"bytes */10",
        b"+0-9", b"0x0-0x9", b"0-9\x00", b"\xb2-\xb3", b"0-" + b"9" * 19, b"9" * 5000 + b"-",
        b"9-0",
    ],
)  # fmt: skip
def test_what_is_no_range_is_refused(stated: bytes) -> None:
    with pytest.raises(HeaderInvalid):
        parse_chunk(stated, 10)


@pytest.mark.parametrize("length", [0, 9, 11, 10**18])
def test_a_length_that_is_not_the_ranges_is_refused(length: int) -> None:
    with pytest.raises(SizeInvalid):
        parse_chunk(b"0-9", length)


@given(st.integers(0, 10**18 - 1), st.integers(0, 10**18 - 1))
def test_a_chunk_round_trips(first: int, last: int) -> None:
    first, last = sorted((first, last))

    assert parse_chunk(b"%d-%d" % (first, last), last - first + 1) == (first, last)


@given(st.binary() | st.text("0123456789-/* bytes=", max_size=60).map(str.encode), st.integers(0) | st.none())
def test_anything_is_a_chunk_or_refused(stated: bytes, length: int | None) -> None:
    try:
        first, last = parse_chunk(stated, length)
    except PierheadError:
        return
    assert 0 <= first <= last
    assert length in {None, last - first + 1}
