"""What somebody may do where: grants, visibility, the narrowing of a credential. Pure; rows come from `decisions`."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pierhead.models import Place, Visible
from pierhead.patterns import Pattern
from pierhead.verbs import ALL, NONE, ROLES, Verb, Verbs, known

_IN_THE_SYSTEM: Verbs = frozenset(verb for verb in Verb if verb.system)
_PUBLIC: Verbs = frozenset({Verb.PULL})
# What whoever pushes to a project that is not there yet may do in it: it becomes his.
_FOUNDING: Verbs = frozenset({Verb.PULL, Verb.PUSH, Verb.MOVE_TAG})
# So many places are remembered for each principal: whoever asks chooses their names.
_PLACES = 8192


@dataclass(frozen=True, slots=True)
class Grant:
    """A role that counts for somebody, and why."""

    role: str
    verbs: Verbs
    through: str  # his own name, a team, `everybody`, a setting
    project_id: int | None = None  # none: everywhere
    pattern: Pattern | None = None

    def covers(self, place: Place) -> bool:
        if self.project_id is None:
            return True
        if self.project_id != place.project_id:
            return False
        return self.pattern is None or self.pattern.fits(place.rest)


def verbs_of(role: str, custom: Iterable[str] | None = None) -> Verbs:
    """Of a role that comes with the program, or of a custom one by its row. An unknown verb counts for nothing."""
    return ROLES[role] if role in ROLES else known(custom or ())


@dataclass(frozen=True, slots=True)
class Rights:
    """All that one principal holds, at one moment."""

    grants: tuple[Grant, ...] = ()
    everything: bool = False  # the open mode
    pulls_everything: bool = False  # --allow-anonymous beside accounts
    until: int | None = None  # microseconds since 1970: when its credential ends
    renewal: int | None = None  # when its owner has to sign in again, for any credential of his to count
    bounds: "TokenBounds | None" = None  # of the token that it signed in with, also where a bearer token came of it
    _held: dict[Place, Verbs] = field(default_factory=dict, compare=False, repr=False)

    def held(self, place: Place) -> Verbs:
        """At a place. Remembered: a client asks for the same few places many times."""
        found = self._held.get(place)
        if found is None:
            found = self._decide(place)
            if self.bounds is not None:
                found &= self.bounds.at(place.name, place)
            if len(self._held) >= _PLACES:
                self._held.clear()
            self._held[place] = found
        return found

    def _decide(self, place: Place) -> Verbs:
        if self.everything:
            return ALL
        held = frozenset().union(*(grant.verbs for grant in self.grants if grant.covers(place))) - _IN_THE_SYSTEM
        if place.project_id is None:
            return self._where_nothing_is(held)
        # What is not there is refused like what is private: in a public project too, one may be private by itself.
        is_public = place.public and place.repository_id is not None
        return held | _PUBLIC if is_public or self.pulls_everything else held

    def _where_nothing_is(self, held: Verbs) -> Verbs:
        """In a project that is not there: whoever may make projects may push to it, and nobody else."""
        if Verb.CREATE_PROJECT in self.system:
            return held | _FOUNDING
        held -= {Verb.PUSH}
        return held | _PUBLIC if self.pulls_everything else held

    @property
    def system(self) -> Verbs:
        """What is held in the system, and thereby everywhere."""
        if self.everything:
            return ALL
        return frozenset().union(*(grant.verbs for grant in self.grants if grant.project_id is None))

    @property
    def pushes_everywhere(self) -> bool:
        return Verb.PUSH in self.system

    @property
    def visible(self) -> Visible:
        if self.everything or self.pulls_everything or Verb.PULL in self.system:
            return Visible(everything=True)
        pulls = [grant for grant in self.grants if Verb.PULL in grant.verbs and grant.project_id is not None]
        return Visible(
            projects=frozenset(grant.project_id for grant in pulls if grant.project_id and grant.pattern is None),
            patterns=tuple(
                (grant.project_id, grant.pattern.text) for grant in pulls if grant.project_id and grant.pattern
            ),
        )

    def why(self, verb: Verb, place: Place) -> list[Grant]:
        """The grants that give a verb at a place."""
        return [grant for grant in self.grants if verb in grant.verbs and grant.covers(place)]


@dataclass(frozen=True, slots=True)
class TokenBounds:
    """A token of a user or of a robot: some verbs, at some places. Projects count by their ids, not by their names."""

    verbs: Verbs | None
    places: tuple[tuple[int | None, Pattern], ...] | None

    def at(self, asked: str, place: Place) -> Verbs:  # noqa: ARG002  bound to ids: the name makes no difference
        if self.places is not None and not self._fit(place.project_id, place.rest):
            return NONE
        return ALL if self.verbs is None else self.verbs

    @property
    def within(self) -> tuple[tuple[int, str], ...] | None:
        if self.verbs is not None and Verb.PULL not in self.verbs:
            return ()
        if self.places is None:
            return None
        return tuple((project, pattern.text) for project, pattern in self.places if project is not None)

    def _fit(self, project_id: int | None, rest: str) -> bool:
        return any(
            project == project_id and pattern.fits(rest)
            for project, pattern in self.places or ()
            if project is not None
        )
