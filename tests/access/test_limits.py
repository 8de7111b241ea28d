"""Buckets that fill again."""

import time

import pytest

from pierhead.access import limits
from pierhead.access.limits import Buckets
from pierhead.errors import TooManyRequests


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def taken(buckets: Buckets, whose: str, most: int = 1000) -> int:
    for number in range(most):
        try:
            buckets.take(whose)
        except TooManyRequests:
            return number
    return most


def test_a_burst_passes_and_then_as_many_as_the_rate_lets(clock: list[float]) -> None:
    buckets = Buckets(rate=2, burst=5)

    assert taken(buckets, "alice") == 5
    assert taken(buckets, "bob") == 5
    clock[0] += 1.5
    assert taken(buckets, "alice") == 3
    clock[0] += 1000
    assert taken(buckets, "alice") == 5


def test_who_is_refused_hears_how_long_to_wait(clock: list[float]) -> None:
    buckets = Buckets(rate=0.1, burst=1)
    buckets.take("alice")

    with pytest.raises(TooManyRequests) as refused:
        buckets.take("alice")
    assert refused.value.retry_after == 10


def test_a_rate_of_nothing_limits_nothing() -> None:
    assert taken(Buckets(rate=0, burst=1), "alice") == 1000


def test_what_is_counted_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_ENTRIES", 10)
    buckets = Buckets(rate=0.001, burst=1)
    for number in range(100):
        buckets.take(f"10.0.0.{number}")

    assert len(buckets._left) == 10
