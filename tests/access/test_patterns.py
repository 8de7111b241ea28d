"""Globs of repository names below a project."""

import time

import pytest

from pierhead.patterns import Pattern


@pytest.mark.parametrize(
    ("pattern", "fitting", "other"),
    [
        ("**", ["", "web", "web/front", "a/b/c"], []),
        ("*", ["web", "a.b"], ["", "web/front"]),
        ("web", ["web"], ["", "webs", "web/front"]),
        ("web/*", ["web/front"], ["web", "web/front/x"]),
        ("web/**", ["web", "web/front", "web/a/b"], ["webs", "", "webs/x"]),
        ("**/cache", ["cache", "a/cache", "a/b/cache"], ["cache/a", "acache"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["a", "z", "a/z/b"]),
        ("w*b-*", ["web-1", "wb-"], ["web", "web-1/x"]),
        ("*.*", ["a.b"], ["ab"]),
    ],
)
def test_a_star_stays_in_its_segment_and_two_cross_them(pattern: str, fitting: list[str], other: list[str]) -> None:
    parsed = Pattern.parse(pattern)

    assert [rest for rest in fitting if not parsed.fits(rest)] == []
    assert [rest for rest in other if parsed.fits(rest)] == []


@pytest.mark.parametrize(
    "text", ["", "/", "a//b", "a/", "/a", "A", "a**", "**b/c", "a?", "[a]", "é", "a" * 256, "*" * 17]
)
def test_what_is_no_pattern_is_refused_with_what_is_expected(text: str) -> None:
    with pytest.raises(ValueError, match=r"pattern|stars|slashes"):
        Pattern.parse(text)


def test_many_stars_take_no_time() -> None:
    pattern = Pattern.parse("/".join(["**"] * 4 + ["*a*a*a"] * 2))
    began = time.perf_counter()

    assert not pattern.fits("/".join(["a" * 30 + "b"] * 7))
    assert time.perf_counter() - began < 0.1
