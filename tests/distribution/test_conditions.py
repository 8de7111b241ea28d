"""Ranges and conditions, without a server."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pierhead.distribution.conditions import etag, matches, precondition, selected
from pierhead.errors import HeaderInvalid, PierheadError, PreconditionFailed, RangeNotSatisfiable
from pierhead.models import Digest
from pierhead.registry import preconditions

DIGEST = "sha256:" + "a" * 64
ETAG = etag(DIGEST.encode())
OTHER = b'"sha256:' + b"b" * 64 + b'"'
HUGE = b"9" * 5000

SATISFIED = [
    (b"bytes=0-0", (0, 1)),
    (b"bytes=0-99", (0, 100)),
    (b"bytes=0-", (0, 100)),
    (b"bytes=99-", (99, 1)),
    (b"bytes=99-99", (99, 1)),
    (b"bytes=50-5000", (50, 50)),
    (b"bytes=-1", (99, 1)),
    (b"bytes=-100", (0, 100)),
    (b"bytes=-5000", (0, 100)),
    (b"bytes=0-" + HUGE, (0, 100)),
    (b"bytes=-" + HUGE, (0, 100)),
    (b"bytes=000000000000000000000000001-2", None),  # a number past any file is past this one
    (b"BYTES=1-2", (1, 2)),
    (b" bytes = 1-2 ", (1, 2)),
]
UNSATISFIED = [
    b"bytes=100-", b"bytes=100-200", b"bytes=2-1", b"bytes=500-0", b"bytes=-0", b"bytes=-", b"bytes=", b"bytes",
    b"bytes=a-b", b"bytes=1-b", b"bytes=--1", b"bytes=1--2", b"bytes=-1-", b"bytes=0x1-2", b"bytes=1.0-2",
    b"bytes=+1-2", b"bytes=1-2-3", b"bytes:1-2", b"bytesx=1-2", b"bytes=\xb2-\xb3", b"bytes=" + HUGE + b"-",
    b"bytes=1 -2", b"bytes==1-2",
]  # fmt: skip
IGNORED = [None, b"", b"items=0-1", b"bytes=0-0,5-6", b"bytes=0-,0-,0-," * 1000, b"seconds=1-2", b"=0-1", b"0-1"]


@pytest.mark.parametrize(("header", "part"), [case for case in SATISFIED if case[1]])
def test_a_range_is_cut_to_what_is_there(header: bytes, part: tuple[int, int]) -> None:
    assert selected(header, None, DIGEST, 100) == part


@pytest.mark.parametrize("header", UNSATISFIED)
def test_a_range_outside_the_blob_or_malformed_tells_the_size(header: bytes) -> None:
    with pytest.raises(RangeNotSatisfiable) as refused:
        selected(header, None, DIGEST, 100)

    assert refused.value.size == 100


@pytest.mark.parametrize("header", IGNORED)
def test_another_unit_and_several_ranges_are_ignored(header: bytes | None) -> None:
    assert selected(header, None, DIGEST, 100) is None


@pytest.mark.parametrize("header", [b"bytes=0-", b"bytes=0-0", b"bytes=-1", b"bytes=-0"])
def test_an_empty_blob_satisfies_no_range(header: bytes) -> None:
    with pytest.raises(RangeNotSatisfiable):
        selected(header, None, DIGEST, 0)


@pytest.mark.parametrize(
    "if_range", [OTHER, b"W/" + ETAG, b"*", b"", b"Wed, 21 Oct 2015 07:28:00 GMT", ETAG.strip(b'"')]
)
def test_if_range_with_anything_but_this_very_blob_asks_for_the_whole(if_range: bytes) -> None:
    assert selected(b"bytes=0-0", if_range, DIGEST, 100) is None


def test_if_range_with_this_blob_asks_for_the_range() -> None:
    assert selected(b"bytes=0-0", b" " + ETAG, DIGEST, 100) == (0, 1)


@pytest.mark.parametrize("header", [ETAG, b"*", b"W/" + ETAG, OTHER + b", " + ETAG, b" * ", b"x," + ETAG])
def test_if_none_match_knows_this_blob(header: bytes) -> None:
    assert matches(header, DIGEST)


@pytest.mark.parametrize("header", [None, b"", OTHER, ETAG.strip(b'"'), ETAG[:-1], b"w/" + ETAG, b"," * 10_000])
def test_if_none_match_knows_another_blob(header: bytes | None) -> None:
    assert not matches(header, DIGEST)


number = st.integers(0, 200).map(str) | st.just("") | st.integers(0).map(str) | st.text("0123456789", max_size=40)
near_ranges = st.builds(
    "{}{}-{}".format, st.sampled_from(["bytes=", "bytes =", "Bytes=", "byte=", "bytes"]), number, number
)
REFERENCE = re.compile(rb"bytes\s*=\s*(?:(\d+)-(\d*)|-(\d+))", re.IGNORECASE)


@given(near_ranges.map(str.encode) | st.binary() | st.binary().map(lambda tail: b"bytes=" + tail), st.integers(0, 200))
def test_a_range_that_is_served_is_never_empty_and_inside_the_blob(header: bytes, size: int) -> None:
    try:
        part = selected(header, None, DIGEST, size)
    except RangeNotSatisfiable:
        return
    if part is not None:
        start, length = part
        assert 0 <= start < size
        assert 0 < length <= size - start


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 300))
def test_a_range_serves_the_bytes_that_a_slice_has(first: int, last: int, size: int) -> None:
    content = bytes(index % 251 for index in range(size))
    try:
        part = selected(b"bytes=%d-%d" % (first, last), None, DIGEST, size)
    except PierheadError:
        assert last < first or first >= size
        return
    assert part is not None
    assert content[part[0] : part[0] + part[1]] == content[first : last + 1]


@given(st.binary(), st.binary())
def test_conditions_never_fail(header: bytes, if_range: bytes) -> None:
    assert matches(header, DIGEST) in {True, False}
    assert selected(b"bytes=0-0", if_range, DIGEST, 10) in {None, (0, 1)}


A, B, C = (Digest("sha256:" + letter * 64) for letter in "abc")


def quoted(digest: str) -> bytes:
    return b'"%b"' % digest.encode()


MATCHING = [
    quoted(A),
    b"*",
    b" * ",
    b"\t" + quoted(A) + b" ",
    quoted(B) + b"," + quoted(A),
    quoted(B) + b" , \t" + quoted(A),
    b", ," + quoted(A) + b",,",
    b'"with,a,comma", ' + quoted(A),
    b'"", ' + quoted(A),
    b'"\xe9", ' + quoted(A),
    b"W/" + quoted(A) + b", " + quoted(A),
]
NOT_MATCHING = [quoted(B), b"W/" + quoted(A), b'""', b'"*"', b'"%b,%b"' % (A.encode(), B.encode()), b'"\xff"']
GARBAGE = [
    b"", b" ", b",", b", ,", A.encode(), quoted(A)[:-1], quoted(A)[1:], b"'%b'" % A.encode(), b"w/" + quoted(A),
    b"W/ " + quoted(A), b"**", b"*, " + quoted(A), quoted(A) + b", *", quoted(A) + quoted(B),
    quoted(A) + b" " + quoted(B),
    b'"a, b"', quoted(A) + b";" + quoted(B), quoted(A) + b", x", b'"a b"', b'"\x7f"', b'"\n"', b"W/*", b"W/", b'"',
]  # fmt: skip


@pytest.mark.parametrize("header", MATCHING)
def test_if_match_finds_the_digest_and_if_none_match_too(header: bytes) -> None:
    precondition(header, None).require(A)
    with pytest.raises(PreconditionFailed):
        precondition(None, header).require(A)


@pytest.mark.parametrize("header", NOT_MATCHING)
def test_if_match_with_other_digests_fails(header: bytes) -> None:
    with pytest.raises(PreconditionFailed, match=A):
        precondition(header, None).require(A)


def test_a_weak_validator_matches_for_if_none_match_alone() -> None:
    with pytest.raises(PreconditionFailed):
        precondition(None, b"W/" + quoted(A)).require(A)


@pytest.mark.parametrize("header", GARBAGE)
def test_a_condition_that_is_not_understood_is_refused_rather_than_ignored(header: bytes) -> None:
    for conditions in ((header, None), (None, header)):
        with pytest.raises(HeaderInvalid):
            precondition(*conditions)


def test_what_is_not_there_fails_if_match_and_passes_if_none_match() -> None:
    for header in (b"*", quoted(A)):
        precondition(None, header).require(None)
        with pytest.raises(PreconditionFailed, match="not there"):
            precondition(header, None).require(None)
        with pytest.raises(PreconditionFailed, match="not there"):
            precondition(header, None).require(None, A)


def test_what_is_already_as_it_shall_be_passes_if_match_alone() -> None:
    precondition(quoted(B), None).require(A, A)
    with pytest.raises(PreconditionFailed):
        precondition(quoted(B), None).require(A, C)
    with pytest.raises(PreconditionFailed):
        precondition(None, b"*").require(A, A)


def test_both_conditions_have_to_hold() -> None:
    precondition(quoted(A), quoted(B)).require(A)
    for conditions in ((quoted(A), quoted(A)), (quoted(B), quoted(C)), (quoted(B), quoted(A))):
        with pytest.raises(PreconditionFailed):
            precondition(*conditions).require(A)
    assert precondition(None, None) is preconditions.NONE


@given(st.none() | st.binary(), st.none() | st.binary())
@example(b"\n", None)  # where `$` would match for ever
@example(None, b'"a"\n')
def test_a_condition_is_understood_or_refused(if_match: bytes | None, if_none_match: bytes | None) -> None:
    try:
        asked = precondition(if_match, if_none_match)
    except HeaderInvalid:
        return
    assert (asked.matches is None, asked.matches_not is None) == (if_match is None, if_none_match is None)


@given(st.lists(st.sampled_from([A, B, C]), min_size=1), st.sampled_from([A, B, C]))
def test_a_list_matches_what_it_lists(listed: list[Digest], current: Digest) -> None:
    asked = precondition(b", ".join(map(quoted, listed)), None)

    assert asked.matches == frozenset(map(str, listed))
    if current in listed:
        asked.require(current)
    else:
        with pytest.raises(PreconditionFailed):
            asked.require(current)
