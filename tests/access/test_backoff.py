"""Wrong passwords are answered later and later, however somebody tries to get around that."""

import asyncio
import time

import pytest

from pierhead.access import backoff as backoff_module
from pierhead.access.backoff import Backoff
from pierhead.errors import TooManyRequests


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def wrong(backoff: Backoff, name: str, address: str) -> bool:
    """Whether a wrong password was taken at all."""
    try:
        backoff.require(name, address)
        with backoff.trying(name, address):
            backoff.wrong(name, address)
    except TooManyRequests:
        return False
    return True


def test_the_wait_doubles_up_to_its_end_and_the_right_password_ends_it(clock: list[float]) -> None:
    backoff = Backoff(failures=3, longest=10)
    assert [wrong(backoff, "ann", "10.0.0.1") for _ in range(4)] == [True, True, True, False]
    for seconds in (1, 2, 4, 8, 10, 10):
        with pytest.raises(TooManyRequests) as refused:
            backoff.require("ann", "10.0.0.1")
        assert refused.value.retry_after == seconds + 1
        clock[0] += seconds
        assert wrong(backoff, "ann", "10.0.0.1")
    clock[0] += 10
    backoff.right("ann", "10.0.0.1")

    assert wrong(backoff, "ann", "10.0.0.1")
    assert wrong(backoff, "ann", "10.0.0.1")


def test_others_at_another_address_or_of_another_name_go_on(clock: list[float]) -> None:
    backoff = Backoff(failures=3, longest=10)
    while wrong(backoff, "ann", "10.0.0.1"):
        pass

    backoff.require("ann", "10.0.0.2")
    backoff.require("bob", "10.0.0.1")


def test_nobody_is_kept_out_by_what_others_guess_where_he_came_in_before(clock: list[float]) -> None:
    backoff = Backoff(failures=3, longest=1000)
    backoff.right("ann", "10.9.9.9")
    for number in range(40):  # names and addresses of all kinds; the waits are over by the next guess
        clock[0] += 60
        wrong(backoff, "ann", f"10.0.0.{number}")
        wrong(backoff, f"bob{number}", "10.9.9.9")

    with pytest.raises(TooManyRequests):
        backoff.require("ann", "10.8.8.8")
    with pytest.raises(TooManyRequests):
        backoff.require("cyd", "10.9.9.9")
    backoff.require("ann", "10.9.9.9")
    assert [wrong(backoff, "ann", "10.9.9.9") for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("spelling", ["ann", "Ann", "ANN", " ann ", "\uff41nn", "aNn\u2003"])
def test_a_name_that_a_directory_takes_for_the_same_is_the_same(clock: list[float], spelling: str) -> None:
    backoff = Backoff(failures=3, longest=10)
    for _ in range(3):
        assert wrong(backoff, "Ann", "10.0.0.1")

    assert not wrong(backoff, spelling, "10.0.0.1")


@pytest.mark.parametrize(
    ("one", "other"),
    [("2001:db8::1", "2001:db8::ffff:1"), ("10.0.0.1", "::ffff:10.0.0.1"), ("fe80::1", "fe80::1%eth0")],
)
def test_whoever_has_a_network_of_ipv6_addresses_has_one_address(clock: list[float], one: str, other: str) -> None:
    backoff = Backoff(failures=3, longest=10)
    for _ in range(3):
        assert wrong(backoff, "ann", one)

    assert not wrong(backoff, "ann", other)
    assert wrong(backoff, "ann", "2001:db8:0:1::1")


async def tried(backoff: Backoff, name: str, address: str) -> bool:
    """One that takes a while, as a slow hash does."""
    try:
        backoff.require(name, address)
        with backoff.trying(name, address):
            await asyncio.sleep(0)
            backoff.wrong(name, address)
    except TooManyRequests:
        return False
    return True


@pytest.mark.parametrize("before", [0, 2, 3])
def test_guesses_at_once_are_no_more_than_guesses_one_after_another(clock: list[float], before: int) -> None:
    async def many() -> list[bool]:
        return await asyncio.gather(*(tried(backoff, "ann", "10.0.0.1") for _ in range(50)))

    backoff = Backoff(failures=3, longest=10)
    for _ in range(before):
        wrong(backoff, "ann", "10.0.0.1")
    clock[0] += 5

    assert sum(asyncio.run(many())) == max(3 - before, 1)
    assert not backoff._trying


def test_what_is_counted_is_bounded(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff_module, "_ENTRIES", 10)
    backoff = Backoff(failures=3, longest=10)
    for number in range(50):
        wrong(backoff, f"made-up-{number}", f"10.0.0.{number}")

    assert len(backoff._wrong) == 10
