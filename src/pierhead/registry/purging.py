"""Purging what is in the trash: by hand, and of what its time is over. The bytes are the collector's to free.

A purge is many small transactions, any of which may be the last one that its process lives to see: whoever comes next
goes on. Its first one lets the time of the entry be over, so that nothing comes back that is half gone. Two at once
find what the other one has done, under the locks of the manifests and of the repository.
"""

from collections.abc import Awaitable, Callable
from functools import partial

from pierhead.errors import Pinned
from pierhead.metadata import (
    aliases,
    copies,
    events,
    locks,
    manifests,
    principals,
    purging,
    repositories,
    trash,
    unreferenced,
)
from pierhead.metadata import tags as tag_rows
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.purging import Purged
from pierhead.metadata.tags import Move
from pierhead.metadata.trash import Entry
from pierhead.metadata.unreferenced import Lease
from pierhead.models import Actor, RepositoryName
from pierhead.registry.deleting import pinned

_MANIFESTS_AT_ONCE = 50
_ROWS_AT_ONCE = 500
_DAY = 24 * 3_600_000_000  # microseconds
JOB = Actor("pierhead", credential="job")


class Purging:
    def __init__(self, database: Database, *, lease: Lease, copied: bool) -> None:
        self._database = database
        self._copied = copied  # whether the store keeps copies of what is in rows
        self._lease = lease

    async def entry(self, entry: Entry, *, actor: Actor) -> None:
        """All that an entry has, and the entry. Raises Pinned."""
        await self._database.write(partial(_begin, trash_id=entry.id))
        match entry.kind:
            case "tag" | "manifest":
                assert entry.repository_id is not None  # noqa: S101  both are of a repository
                find = partial(purging.next_of_entry, trash_id=entry.id, limit=_MANIFESTS_AT_ONCE)
                await self._manifests(entry, entry.repository_id, find, actor)
                await self._end(entry, entry.repository_id, actor)
            case "repository" | "project":
                while left := await self._database.read(partial(repositories.in_entry, trash_id=entry.id, limit=1)):
                    await self._repository(entry, left[0], actor)
                await self._database.write(partial(_end_empty, entry=entry, actor=actor))

    async def due(self, *, limit: int) -> int:
        """Purges some entries whose time is over, and returns how many it looked at. What is pinned is kept longer."""
        found = await self._database.read(partial(trash.due, limit=limit))
        for entry in found:
            try:
                await self.entry(entry, actor=JOB)
            except Pinned:
                await self._database.write(partial(_postpone, trash_id=entry.id))
        return len(found)

    async def _manifests(
        self,
        entry: Entry,
        repository_id: int,
        find: Callable[[Transaction], Awaitable[list[Purged]]],
        actor: Actor,
    ) -> None:
        """All that `find` finds, some at a time."""

        async def look(tx: Transaction) -> tuple[RepositoryName | None, list[Purged]]:
            return await repositories.name(tx, repository_id), await find(tx)

        while True:
            name, portion = await self._database.read(look)
            if not portion or name is None:
                return
            work = partial(self._portion, entry=entry, repository_id=repository_id, name=name, portion=portion)
            await self._database.write(partial(work, actor=actor))

    async def _portion(
        self,
        tx: Transaction,
        *,
        entry: Entry,
        repository_id: int,
        name: RepositoryName,
        portion: list[Purged],
        actor: Actor,
    ) -> None:
        """Some manifests of an entry, those that are still in it. Raises Pinned."""
        await tx.lock(*{locks.manifest(one.digest) for one in portion}, *locks.whole_repository(name))
        if await repositories.name(tx, repository_id) != name or await trash.take(tx, entry.id) is None:
            return
        if (pin := await purging.pin_in(tx, entry.id)) is not None:
            raise pinned(pin)
        still_in = partial(purging.still_in, tx, trash_id=entry.id, repository_id=repository_id)
        if entry.kind == "manifest":
            await purging.hand_over(tx, repository_id, await still_in(portion), entry.id)
        await self._remove(tx, repository_id, await still_in(portion), actor)

    async def _remove(self, tx: Transaction, repository_id: int, going: list[Purged], actor: Actor) -> None:
        told = await events.record_purged(tx, repository_id, actor, [one.id for one in going])
        names = await purging.take_tags(tx, repository_id, going)
        moves = [
            Move(repository_id, name, "expired", one.digest, None, told[one.digest])
            for one in going
            for name in names.get(one.id, ())
        ]
        await tag_rows.remember_all(tx, moves)
        await unreferenced.note_parts(tx, *(one.id for one in going), lease=self._lease)
        await manifests.remove(tx, {one.id: one.digest for one in going})
        if self._copied:
            await copies.owe_gone(tx, [one.digest for one in going])

    async def _end(self, entry: Entry, repository_id: int, actor: Actor) -> None:
        """The entry of a tag or manifest, when nothing is in it any more."""
        name = await self._database.read(partial(repositories.name, repository_id=repository_id))

        async def end(tx: Transaction) -> None:
            await tx.lock(*locks.whole_repository(name or RepositoryName(entry.name)))
            if await trash.take(tx, entry.id) is None or await purging.holds_manifests(tx, entry.id):
                return
            if entry.kind == "tag":
                await events.record(tx, "tag.purged", repository_id, actor, tag=entry.tag, before=entry.digest)
            else:
                await purging.remove_targetless(tx, repository_id)
            await trash.remove(tx, entry.id)

        await self._database.write(end)

    async def _repository(self, entry: Entry, repository_id: int, actor: Actor) -> None:
        """All that a repository has; its row stays, under the name that nobody can ask for, with its history."""
        find = partial(purging.next_of_repository, repository_id=repository_id, limit=_MANIFESTS_AT_ONCE)
        await self._manifests(entry, repository_id, find, actor)
        drop = partial(purging.remove_others, repository_id=repository_id, trash_id=entry.id, limit=_ROWS_AT_ONCE)
        while await self._database.write(drop):
            pass
        last: str | None = ""
        while last is not None:
            last = await self._database.write(
                partial(purging.note_holds, repository_id=repository_id, after=last, limit=_ROWS_AT_ONCE)
            )

        name = await self._database.read(partial(repositories.name, repository_id=repository_id))

        async def end(tx: Transaction) -> None:
            await tx.lock(*locks.whole_repository(name or RepositoryName(entry.name)))
            if await trash.take(tx, entry.id) is None:
                return
            if await purging.next_of_repository(tx, repository_id, limit=1):  # pushed while it was deleted
                return
            if await repositories.leave_entry(tx, entry.id, repository_id):
                await aliases.remove_of_repository(tx, repository_id)
                await events.record(tx, "repository.purged", repository_id, actor)

        await self._database.write(end)


async def _begin(tx: Transaction, trash_id: int) -> None:
    """Raises Pinned."""
    if await trash.take(tx, trash_id) is None:
        return
    if (pin := await purging.pin_in(tx, trash_id)) is not None:
        raise pinned(pin)
    await trash.end(tx, trash_id)


async def _end_empty(tx: Transaction, entry: Entry, actor: Actor) -> None:
    """The entry of a repository or project, when nothing is in it any more. Robots of the project go with it."""
    await tx.lock(locks.accounts())
    if await trash.take(tx, entry.id) is None or await repositories.in_entry(tx, entry.id, limit=1):
        return
    for robot_id, name, project_id in await principals.robots_in(tx, entry.id):
        await principals.remove(tx, robot_id)
        await events.record_change(tx, "robot.deleted", f"robot:{name}", actor, project_id=project_id)
    await aliases.remove_of_projects(tx, entry.id)
    await repositories.forget_entry(tx, entry.id)
    await trash.remove(tx, entry.id)
    if entry.kind == "project":
        await events.record_change(tx, "project.purged", f"project:{entry.name}", actor, project_id=entry.project_id)


async def _postpone(tx: Transaction, trash_id: int) -> None:
    if await trash.take(tx, trash_id) is None:
        return
    if (pin := await purging.pin_in(tx, trash_id)) is not None:
        await trash.postpone(tx, trash_id, until=pin.until, otherwise=_DAY)
