"""Giving way: background work takes what time of the processors others leave."""

import os
from contextlib import suppress

_NICE = 10  # of 19; at the very least of all it would hold locks for too long, and others wait for those


def give_way() -> None:
    """From here on this process comes after those that serve. A user may always do that to his own processes."""
    with suppress(OSError):
        os.nice(_NICE)
