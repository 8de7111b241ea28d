"""Who changes something, and how much he may give."""

from dataclasses import dataclass

from pierhead.errors import GivesTooMuch
from pierhead.models import Actor
from pierhead.verbs import Verbs


@dataclass(frozen=True, slots=True)
class By:
    """`holds` are his verbs where he acts: on the project, or in the system. Nobody gives or takes more than that.

    Whether he may act at all was decided before.
    """

    actor: Actor
    holds: Verbs

    def require(self, verbs: Verbs) -> None:
        """Raises GivesTooMuch."""
        if lacking := sorted(verbs - self.holds):
            raise GivesTooMuch(", ".join(lacking))

    def is_(self, principal_id: int) -> bool:
        """Whether it is about himself. Not for who came with a token: it may be narrower than its owner."""
        return self.actor.id == principal_id and self.actor.credential_id is None
