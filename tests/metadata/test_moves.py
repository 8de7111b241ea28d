"""Rows of registries on their way, and of those who copy."""

import pytest

from pierhead.metadata import holds, moves
from pierhead.metadata.database import Transaction

pytestmark = pytest.mark.anyio


async def test_a_registry_is_in_no_state_at_first(tx: Transaction) -> None:
    assert [await moves.place(tx, state) for state in ("filling", "frozen", "moved")] == [None, None, None]


async def test_a_state_tells_its_place_until_it_is_left(tx: Transaction) -> None:
    await moves.enter(tx, "filling", "here")
    await moves.enter(tx, "filling", "there")
    assert await moves.place(tx, "filling") == "there"

    await moves.leave(tx, "filling")

    assert await moves.place(tx, "filling") is None


async def test_a_state_that_is_over_is_none(tx: Transaction) -> None:
    await moves.enter(tx, "frozen", "there", seconds=60)
    assert await moves.place(tx, "frozen") == "there"

    await moves.enter(tx, "frozen", "there", seconds=-1)

    assert await moves.place(tx, "frozen") is None


async def test_it_is_held_until_the_last_one_lets_go(tx: Transaction) -> None:
    assert not await holds.held(tx)
    await holds.take(tx, "one", seconds=60)
    await holds.take(tx, "one", seconds=60)
    await holds.take(tx, "two", seconds=60)

    await holds.release(tx, "one")
    assert await holds.held(tx)
    await holds.release(tx, "two")

    assert not await holds.held(tx)


async def test_a_hold_that_nobody_prolonged_is_over(tx: Transaction) -> None:
    await holds.take(tx, "one", seconds=-1)

    assert not await holds.held(tx)
