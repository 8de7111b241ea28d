"""How much is tried: a sample by default, all of it with SOAK=1 (or PIERHEAD_SOAK=1)."""

import os

from hypothesis import HealthCheck, settings

SOAK = "1" in (os.environ.get("PIERHEAD_SOAK"), os.environ.get("SOAK"))


def load() -> None:
    # Random, with the blob of a failure printed: new cases each run, and each of them repeatable.
    slow = [HealthCheck.too_slow]
    settings.register_profile("ci", max_examples=150, deadline=None, print_blob=True, suppress_health_check=slow)
    settings.register_profile("soak", max_examples=20_000, deadline=None, print_blob=True, suppress_health_check=slow)
    settings.load_profile("soak" if SOAK else "ci")
