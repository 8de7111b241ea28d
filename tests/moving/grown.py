"""What follows a move, for clients of the old registry."""

import time

from tests.moving.loading import Load


def wait_until_all_are_gone(load: Load) -> None:
    """Each client was told that the registry has moved."""
    deadline = time.monotonic() + 30
    while any(client.failure is None for client in load.clients):
        assert time.monotonic() < deadline, "the old registry still serves"
        time.sleep(0.05)
