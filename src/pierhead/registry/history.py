"""What happened to tags: the moves of a repository or of one tag, and what was where at a moment.

History belongs to a repository, not to its name: one that is deleted and made anew under its name begins anew, and the
one before (an *incarnation* of the name) keeps its own. Entries stay for ever; bytes go when the trash is purged.

What was at a moment is what all moves up to the last one of that time left behind, in the order in which they were
written: a state that the repository was really in, even where the database's clock was set back meanwhile.
"""

from dataclasses import dataclass

from pierhead.errors import RepositoryUnknown
from pierhead.metadata import history as rows
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.history import Entry, Incarnation, Pointing
from pierhead.models import RepositoryName, TagName

_INCARNATIONS_MAX = 20
_NAMES_MAX = 1000  # that one page looks at
_PAST_ALL = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class HistoryPage:
    incarnation: Incarnation
    others: list[Incarnation]  # some that had the name too, the one deleted last first
    entries: list[Entry]
    more: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Tags at a moment, in order. A page may have few of them, or none, and yet not be the last one."""

    tags: list[Pointing]
    next: TagName | None  # to be given as `after`; None at the end


class History:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        repository: RepositoryName,
        tag: TagName | None = None,
        *,
        before: int | None = None,
        size: int,
        incarnation: int | None = None,
    ) -> HistoryPage:
        """Moves older than the id `before`, the latest first, of the repository that has the name now.

        Where none has it, of the one that was deleted last, or of one by its id. Raises RepositoryUnknown.
        """

        async def page(tx: Transaction) -> HistoryPage:
            known = await rows.incarnations(tx, repository, limit=_INCARNATIONS_MAX)
            chosen = known[0] if known else None
            if incarnation is not None:
                chosen = await rows.incarnation(tx, repository, incarnation)
            if chosen is None:
                raise _unknown(repository, incarnation)
            beginning = _PAST_ALL if before is None else before
            if tag is None:
                found = await rows.of_repository(tx, chosen.id, before=beginning, limit=size + 1)
            else:
                found = await rows.of_tag(tx, chosen.id, tag, before=beginning, limit=size + 1)
            others = [one for one in known if one.id != chosen.id]
            return HistoryPage(chosen, others, found[:size], more=len(found) > size)

        return await self._database.read(page)

    async def at(
        self,
        repository: RepositoryName,
        moment: int,
        *,
        after: str = "",
        size: int,
        incarnation: int | None = None,
    ) -> Snapshot:
        """The tags of the repository that had the name at a moment, past `after`. Raises RepositoryUnknown."""

        async def at(tx: Transaction) -> Snapshot:
            chosen = await _had(tx, repository, moment, incarnation)
            last = await _last(tx, chosen.id, moment)
            # Names whose tags were not there then count too, so that a page is bounded work.
            looked = min(max(2 * size, 100), _NAMES_MAX)
            names = await rows.tags_at(tx, chosen.id, last, after=after, limit=looked)
            there = [one for one in names if one.target is not None]
            if len(there) > size:
                return Snapshot(there[:size], there[size - 1].tag)
            return Snapshot(there, names[-1].tag if len(names) == looked else None)

        return await self._database.read(at)

    async def tag_at(
        self, repository: RepositoryName, tag: TagName, moment: int, *, incarnation: int | None = None
    ) -> Pointing:
        """What a tag pointed to at a moment. Raises RepositoryUnknown."""

        async def tag_at(tx: Transaction) -> Pointing:
            chosen = await _had(tx, repository, moment, incarnation)
            return await rows.tag_at(tx, chosen.id, await _last(tx, chosen.id, moment), tag)

        return await self._database.read(tag_at)


async def _had(tx: Transaction, repository: RepositoryName, moment: int, incarnation: int | None) -> Incarnation:
    """The repository that had the name then, or the one whose id is given."""
    if incarnation is None:
        chosen = await rows.incarnation_at(tx, repository, moment)
        if chosen is None and await rows.incarnations(tx, repository, limit=1):
            raise RepositoryUnknown(f"{repository}, at that moment")
    else:
        chosen = await rows.incarnation(tx, repository, incarnation)
    if chosen is None:
        raise _unknown(repository, incarnation)
    return chosen


async def _last(tx: Transaction, repository_id: int, moment: int) -> int:
    """The id of the last entry that is not later than a moment, 0 where all are.

    Halves what is left each time: some forty looks into an index at most, where an index by time would cost each push.
    """
    newest = await rows.last(tx, repository_id, before=_PAST_ALL)
    if newest is None or newest[1] <= moment:
        return newest[0] if newest else 0
    found, past = 0, newest[0]  # ids: `found` is early enough, `past` is too late
    while past - found > 1:
        middle = (found + past) // 2
        entry = await rows.last(tx, repository_id, before=middle + 1)
        if entry is None or entry[0] <= found or entry[1] <= moment:
            found = middle
        else:
            past = entry[0]
    return found


def _unknown(repository: RepositoryName, incarnation: int | None) -> RepositoryUnknown:
    return RepositoryUnknown(repository if incarnation is None else f"{repository} never was repository {incarnation}")
