"""How hard Hypothesis tries: `ci` by default, `soak` with PIERHEAD_SOAK=1."""

import os

from hypothesis import HealthCheck, settings

SOAK = os.environ.get("PIERHEAD_SOAK") == "1"


def load() -> None:
    # Random, with the blob of a failure printed: new cases each run, and each of them repeatable.
    slow = [HealthCheck.too_slow]
    settings.register_profile("ci", max_examples=150, deadline=None, print_blob=True, suppress_health_check=slow)
    settings.register_profile("soak", max_examples=20_000, deadline=None, print_blob=True, suppress_health_check=slow)
    settings.load_profile("soak" if SOAK else "ci")
