"""Numbers for people."""

import pytest

from pierhead.cli.bars import amount


@pytest.mark.parametrize(
    ("size", "said"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (5 * 1024**3, "5.0 GiB"), (2048 * 1024**4, "2048.0 TiB")],
)
def test_an_amount_has_the_unit_that_suits_it(size: int, said: str) -> None:
    assert amount(size) == said
