"""The audit trail: what happened, who did it, through which credential, from where.

Changes write their events in their own transactions (`metadata/events.py`). This notes what has none (pulls, sign-ins,
refusals), finds events, and keeps the parts that seal them, let go of them and hand them on.
"""

import random
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass, replace

from pierhead.access_settings import AuditSettings
from pierhead.metadata import history, trail
from pierhead.metadata.database import Copyable, Transaction
from pierhead.metadata.events import Note, Noted, monotonic
from pierhead.metadata.trail import PAST_ALL, Event, Filters, Place
from pierhead.models import Actor, Digest, RepositoryName, TagName
from pierhead.registry.audit.chain import Statement
from pierhead.registry.audit.forwarding import Forwarding
from pierhead.registry.audit.notes import Notes
from pierhead.registry.audit.sealing import BEHIND, Sealing
from pierhead.registry.audit.verifying import Verified, verify

_LOOKED_AT = 1000  # events that a page looks at, at least, where an index does not find all that is asked for
_INCARNATIONS = 20
_NAME_LENGTH = 256


@dataclass(frozen=True, slots=True)
class TrailPage:
    """Events, the latest first. A page may have few of them, or none, and yet not be the last one."""

    events: list[Event]
    next: Place | None  # to be given as `before`; None at the end
    catching_up: bool  # so many are not sealed that some of those are not looked at


class Audit:
    def __init__(
        self, database: Copyable, settings: AuditSettings, dropped: Callable[[int], None] = lambda _: None
    ) -> None:
        self._database = database
        self._share = {"none": 0.0, "sampled": settings.pull_sample, "all": 1.0}[settings.pulls]
        self._blobs = settings.pulls_of_blobs
        self.notes = Notes(
            database, limit=settings.buffer_events, refusals=settings.refusals_per_minute, dropped=dropped
        )
        self.sealing = Sealing(database, head_seconds=settings.head_seconds, keep_days=settings.keep_days)
        self.forwarding = Forwarding(database, settings)

    # Noting: nothing here waits or fails

    def wants_pull(self, *, blob: bool = False) -> bool:
        """Whether this pull is to be noted. Asked once for each: with `sampled` it throws dice."""
        if not self._share or (blob and not self._blobs):
            return False
        return self._share >= 1 or random.random() < self._share  # noqa: S311  no secret

    def pulled(
        self,
        repository: RepositoryName,
        digest: Digest,
        actor: Actor,
        *,
        tag: TagName | None = None,
        blob: bool = False,
    ) -> None:
        action: Noted = "blob.pulled" if blob else "manifest.pulled"
        self.notes.add(Note(action, _clean(actor), monotonic(), repository=repository, tag=tag, digest=digest))

    def signed_in(self, actor: Actor, *, way: str) -> None:
        """`way` is what it was: password, token, oidc, session … The same again within a minute is counted."""
        actor = _clean(actor)
        note = Note("signed-in", actor, monotonic(), subject=f"user:{actor.name}", details={"way": way})
        key = (actor.name, actor.address, actor.credential, actor.credential_id, way)
        self.notes.add(self.notes.sign_ins.take(key, note))

    def refused(self, actor: Actor, why: str, *, repository: RepositoryName | None = None) -> None:
        """A sign-in that was refused, or an act of somebody who may not. `actor.name` is who they said they are."""
        actor, why = _clean(actor), _text(why)
        note = Note("refused", actor, monotonic(), repository=repository, outcome="refused", reason=why)
        self.notes.add(self.notes.refusals.take((actor.name, actor.address, repository, why), note))

    async def run(self) -> None:
        """Writes for ever what was noted; cancelled, it writes what is left."""
        await self.notes.run()

    # Looking

    async def page(
        self, filters: Filters, repository: RepositoryName | None = None, *, before: Place | None = None, size: int
    ) -> TrailPage:
        """Events past a place, the latest first. A repository's are those of all that had the name."""
        start = before or (PAST_ALL if filters.until is None else (filters.until, 0))

        async def page(tx: Transaction) -> TrailPage:
            asked = [filters]
            if repository is not None:
                known = await history.incarnations(tx, repository, limit=_INCARNATIONS)
                asked = [replace(filters, repository_id=one.id) for one in known]
            waiting = await trail.unsealed(tx, limit=BEHIND)
            found, ends = [], []
            for one in asked:
                looked = size + 1 if one.by_index else max(2 * size, _LOOKED_AT)
                sealed = await trail.sealed(tx, one, before=start, limit=looked)
                if len(sealed) == looked:
                    ends.append(sealed[-1].place)
                found += [event for event in sealed if one.fits(event)]
                found += [event for event in waiting if one.fits(event) and _within(event, one, start)]
            return _page(found, size, max(ends, default=None), catching_up=len(waiting) == BEHIND)

        return await self._database.read(page)

    async def export(self, filters: Filters, repository: RepositoryName | None = None) -> AsyncGenerator[Event]:
        """All events, the latest first, with no more of them in memory than a page has."""
        place: Place | None = None
        while True:
            page = await self.page(filters, repository, before=place, size=_LOOKED_AT)
            for event in page.events:
                yield event
            if page.next is None:
                return
            place = page.next

    async def verify(self, heads: Iterable[Statement] | None = None) -> Verified:
        return await verify(self._database, heads)


def _within(event: Event, filters: Filters, before: Place) -> bool:
    return event.place < before and (filters.since is None or event.at >= filters.since)


def _page(found: list[Event], size: int, end: Place | None, *, catching_up: bool) -> TrailPage:
    """`end` is how far those were looked at that were not looked at to their end: past it some may be missing."""
    complete = sorted(
        (one for one in found if end is None or one.place >= end), key=lambda one: one.place, reverse=True
    )
    if len(complete) > size:
        return TrailPage(complete[:size], complete[size - 1].place, catching_up)
    return TrailPage(complete, end, catching_up)


def _clean(actor: Actor) -> Actor:
    """What others wrote, so that every database takes it and no line of a log breaks."""
    texts = (actor.name, actor.address, actor.agent)
    clean = tuple(map(_text, texts))
    return actor if clean == texts else replace(actor, name=clean[0], address=clean[1], agent=clean[2])


def _text(text: str) -> str:
    if len(text) <= _NAME_LENGTH and text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text[:_NAME_LENGTH])
