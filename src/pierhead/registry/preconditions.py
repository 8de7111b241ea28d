"""What a client asks of a tag before it is moved or removed (RFC 9110 §13.1): compare, and swap."""

from dataclasses import dataclass

from pierhead.errors import PreconditionFailed
from pierhead.models import Digest

ANY = "*"


@dataclass(frozen=True, slots=True)
class Precondition:
    """Digests that the reference has to have, or may not have; `*` stands for whatever it has."""

    matches: frozenset[str] | None = None
    matches_not: frozenset[str] | None = None

    def require(self, current: Digest | None, becoming: Digest | None = None) -> None:
        """Raises PreconditionFailed. Where it is already what it shall become, `matches` is content (§13.1.1)."""
        if self.matches is not None and (current is None or current != becoming) and not _has(self.matches, current):
            raise PreconditionFailed(f"it is {current or 'not there'}")
        if self.matches_not is not None and _has(self.matches_not, current):
            raise PreconditionFailed(f"it is {current}")


NONE = Precondition()


def _has(digests: frozenset[str], current: Digest | None) -> bool:
    return current is not None and (ANY in digests or current in digests)
