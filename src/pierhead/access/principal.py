"""Who a request acts for, and what it proved."""

from dataclasses import dataclass
from typing import Literal, Protocol

from pierhead.models import Place
from pierhead.verbs import Verbs

Credential = Literal["none", "password", "token", "bearer", "oidc", "certificate", "session"]


class Narrowing(Protocol):
    """A credential that stands for less than its owner: it takes away, and never gives."""

    def at(self, asked: str, place: Place) -> Verbs:
        """What is left of all verbs at a place, which was asked for by this name (empty: in the system)."""
        ...

    @property
    def within(self) -> tuple[tuple[int, str], ...] | None:
        """What listings show at most: ids of projects, with a pattern below each; None takes nothing away."""
        ...


@dataclass(frozen=True, slots=True)
class Principal:
    name: str
    credential: Credential = "none"
    id: int | None = None  # of its row; None for nobody, for everybody of the open mode, and for machines of CI
    token: int | None = None  # which of its tokens it came with
    version: int | None = None  # of the password that it proved; None where it proved none
    source: str = ""
    narrowed: Narrowing | None = None
    rule: str | None = None  # by which rule a machine of CI came in


ANONYMOUS = Principal("anonymous")
