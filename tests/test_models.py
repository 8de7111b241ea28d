"""Names, tags and digests: what parses, what does not, and that both are said in the tree."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pierhead.errors import DigestInvalid, PierheadError, RepositoryNameInvalid, TagInvalid
from pierhead.models import Digest, RepositoryName, TagName, parse_reference

A64, A128 = "a" * 64, "a" * 128

NAMES = ["a", "0", "a/b", "a.b", "a_b", "a__b", "a-b", "a---b", "a/b/c/d", "blobs", "a/manifests", "a" * 255]
NO_NAMES = [
    "", "/", "a/", "/a", "a//b", "A", "a/B", "é", "a b", ".", "..", "a/..", "../a", "a/../b", ".a", "a.", "a..b", "_a",
    "a_", "a___b", "a_.b", "-a", "a-", "a.-b", "a:b", "a@b", "a%2fb", "a\x00", "a\n", "a\\b", "a" * 256,
    "\ud800", "\uff41",
]  # fmt: skip

TAGS = ["a", "A", "0", "_", "v1.0", "a-b_c.d", "latest", "a" * 128, "1.", "a--", "blobs", "uploads"]
NO_TAGS = ["", ".a", "-a", "a" * 129, "a/b", "a:b", "a b", "é", "a\n", "a\x00", "a+b", "a@b", "%41", "\ud800"]

DIGESTS = [f"sha256:{A64}", f"sha512:{A128}", "sha256:" + "0123456789abcdef" * 4]
NO_DIGESTS = [
    "", ":", "sha256", "sha256:", f"sha256:{A64[1:]}", f"sha256:{A64}a", f"sha512:{A64}", f"sha256:{A128}",
    f"sha256:{A64.upper()}", f"SHA256:{A64}", f"sha256:{A64[1:]}g", f"md5:{A64}", f"sha384:{A64}", f"sha1:{A64}",
    f"sha256+b64:{A64}", f" sha256:{A64}", f"sha256:{A64}\n", f"sha256:{A64[1:]}é", f"sha256:{A64[1:]}\x00",
    f"sha256:sha256:{A64}", f"sha256:{A64[2:]}..", "sha256:baddigeststring", "sha256:" + "\u0660" * 64,
]  # fmt: skip


@pytest.mark.parametrize("text", NAMES)
def test_a_name_of_the_grammar_parses(text: str) -> None:
    assert RepositoryName.parse(text) == text


@pytest.mark.parametrize("text", NO_NAMES)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(RepositoryNameInvalid):
        RepositoryName.parse(text)


@pytest.mark.parametrize(("text", "project"), [("a", "a"), ("a/b", "a"), ("a.b/c/d", "a.b")])
def test_the_project_is_the_first_segment(text: str, project: str) -> None:
    assert RepositoryName.parse(text).project == project


@pytest.mark.parametrize("text", TAGS)
def test_a_tag_of_the_grammar_parses(text: str) -> None:
    assert TagName.parse(text) == text


@pytest.mark.parametrize("text", NO_TAGS)
def test_what_is_no_tag_is_refused(text: str) -> None:
    with pytest.raises(TagInvalid):
        TagName.parse(text)


@pytest.mark.parametrize("text", DIGESTS)
def test_a_digest_of_a_registered_algorithm_parses(text: str) -> None:
    digest = Digest.parse(text)

    assert f"{digest.algorithm}:{digest.hex}" == digest == text


@pytest.mark.parametrize("text", NO_DIGESTS)
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(DigestInvalid):
        Digest.parse(text)


# distribution-spec 1.1.1, "Pulling manifests", letter by letter.
NAME_REFERENCE = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*", re.ASCII)
TAG_REFERENCE = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", re.ASCII)

near_names = st.text(st.sampled_from("ab0/._-A%é:\n"), max_size=12) | st.from_regex(NAME_REFERENCE, fullmatch=True)
near_tags = st.text(st.sampled_from("aA0_.-/:@é\n"), max_size=132) | st.from_regex(TAG_REFERENCE, fullmatch=True)
near_digests = st.builds(
    "{}{}{}".format,
    st.sampled_from(["sha256", "sha512", "SHA256", "md5", ""]),
    st.sampled_from([":", "", "::", ": "]),
    st.text(st.sampled_from(string.hexdigits), min_size=63, max_size=65)
    | st.text(st.sampled_from("0123456789abcdef"), min_size=127, max_size=129),
)


@given(near_names | st.text())
def test_names_parse_as_the_specification_has_it(text: str) -> None:
    expected = bool(NAME_REFERENCE.fullmatch(text)) and len(text) <= 255

    assert _parses(RepositoryName.parse, text) is expected


@given(near_tags | st.text())
def test_tags_parse_as_the_specification_has_it(text: str) -> None:
    assert _parses(TagName.parse, text) is bool(TAG_REFERENCE.fullmatch(text))


@given(near_digests | st.text())
def test_a_digest_that_parses_is_lower_case_hex_of_the_right_length(text: str) -> None:
    if _parses(Digest.parse, text):
        digest = Digest(text)
        assert len(digest.hex) == {"sha256": 64, "sha512": 128}[digest.algorithm]
        assert int(digest.hex, 16) >= 0
        assert digest.lower() == digest


@given(near_digests | near_tags | st.text())
def test_a_reference_is_a_digest_a_tag_or_refused(text: str) -> None:
    if _parses(parse_reference, text):
        reference = parse_reference(text)
        assert reference == text
        assert isinstance(reference, Digest) is (":" in text)


def _parses(parse: object, text: str) -> bool:
    assert callable(parse)
    try:
        assert parse(text) == text
    except PierheadError:
        return False
    return True
