"""What a kind of job is: what it does, when it does it by itself, and how often it is tried."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pierhead.metadata.jobs import Job

_SPREAD = 0.25  # so that what began at one moment does not come back at one


@dataclass(frozen=True, slots=True)
class Kind:
    """`perform` may run twice at once: a worker that lost its lease finds out later. It has to be harmless then."""

    name: str
    perform: Callable[[Job], Awaitable[None]]
    every: float | None = None  # seconds between two runs; None for what runs only when asked for
    # Whether there is anything to do, by a cheap look. Without work nothing is written, not even that there was none.
    wanted: Callable[[], Awaitable[bool]] | None = None
    # Shows how it stands, now and then, in each process: whoever does the work, all are asked for their metrics.
    show: Callable[[], Awaitable[None]] | None = None
    attempts: int = 8  # before it is dead; what runs again and again never is
    first_pause: float = 10.0  # seconds after the first failure, twice as long after each further one
    longest_pause: float = 3600.0  # seconds

    def gives_up(self, job: Job) -> bool:
        return self.every is None and job.attempts >= self.attempts

    def pause(self, job: Job) -> float:
        """Seconds before the next attempt."""
        longest = min(self.longest_pause, self.every or self.longest_pause)
        return spread(min(longest, self.first_pause * 2.0 ** min(job.attempts - 1, 30)))


def spread(seconds: float) -> float:
    return seconds * random.uniform(1 - _SPREAD, 1 + _SPREAD)  # noqa: S311  no secret
