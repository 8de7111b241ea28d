"""The trash: what was deleted, for how long it can come back, and the whole repositories and projects that go into it.

Tags and manifests are deleted by `tags` and `manifests`. The ways back are in `restoring`, the end is in `purging`.
"""

from dataclasses import dataclass
from functools import partial

from pierhead.errors import NotInTrash, ProjectUnknown, RepositoryUnknown
from pierhead.metadata import copies, events, locks, pins, purging, repositories, weights
from pierhead.metadata import trash as rows
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.trash import Entry
from pierhead.metadata.unreferenced import Lease
from pierhead.metadata.weights import Weight
from pierhead.models import Actor, Digest, RepositoryName, TagName, moment
from pierhead.registry.deleting import Deleting, pinned
from pierhead.registry.purging import Purging
from pierhead.registry.restoring import Restoring, way_back

_DUE_AT_ONCE = 20
_COUNTED_MOST = 10_000  # of each kind of thing in one entry, where many are listed
_PURGED_MOST = 10_000_000


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry of the trash, and what it holds."""

    entry: Entry
    weight: Weight

    @property
    def way_back(self) -> str:
        return way_back(self.entry)


@dataclass(frozen=True, slots=True)
class Window:
    """For how long what is deleted in a project can be restored."""

    seconds: int
    own: bool  # or as the settings say


class Trash:
    def __init__(self, database: Database, *, deleting: Deleting, lease: Lease) -> None:
        self._database = database
        self._deleting = deleting
        self._purging = Purging(database, lease=lease, copied=deleting.copied)
        self.restoring = Restoring(database, copied=deleting.copied)

    async def page(self, name: str | None = None, *, before: int | None = None, size: int) -> list[Listed]:
        """Entries older than the id `before`, the latest first; of one repository or project, or of all."""

        async def page(tx: Transaction) -> list[Listed]:
            found = await rows.page(tx, name, before=before, limit=size)
            return [Listed(one, await weights.of_entry(tx, one.id, most=_COUNTED_MOST)) for one in found]

        return await self._database.read(page)

    async def find(self, entry_id: int, *, most: int = _PURGED_MOST) -> Listed:
        """Raises NotInTrash."""

        async def find(tx: Transaction) -> Listed:
            entry = await rows.find(tx, entry_id)
            if entry is None:
                raise NotInTrash(f"no entry has the id {entry_id}")
            return Listed(entry, await weights.of_entry(tx, entry_id, most=most))

        return await self._database.read(find)

    async def found(self, repository: RepositoryName, reference: Digest | TagName | None = None) -> Entry | None:
        """The entry by which something of this name can be restored now."""

        async def find(tx: Transaction) -> Entry | None:
            repository_id = await repositories.identify(tx, repository)
            if repository_id is None or reference is None:
                entry = await rows.with_repository(tx, repository)
            elif isinstance(reference, Digest):
                entry = await rows.with_manifest(tx, repository_id, reference)
            else:
                entry = await rows.with_tag(tx, repository_id, reference)
            return None if entry is None or await rows.is_over(tx, entry.id) else entry

        return await self._database.read(find)

    async def of_repository(self, name: RepositoryName) -> list[Entry]:
        """All entries of a name, the oldest first: what was deleted in the repository, and the repository."""
        return await self._database.read(partial(rows.of_repository, name=name))

    async def found_project(self, name: str) -> Entry | None:
        """The entry of the project that was deleted last under a name."""
        return await self._database.read(partial(rows.with_project, name=name))

    async def way_back(self, repository: RepositoryName, reference: Digest | TagName | None = None) -> str | None:
        """What to tell somebody who looks for something that was deleted and can be restored."""
        entry = await self.found(repository, reference)
        if entry is None:
            return None
        until = f"it was deleted at {moment(entry.deleted_at)} and can be restored until {moment(entry.goes_at)}"
        if entry.kind in ("repository", "project") or reference is None:
            return f"{until}: {way_back(entry)}"
        joined = f"{repository}@{reference}" if isinstance(reference, Digest) else f"{repository}:{reference}"
        return f"{until}: pierhead restore {joined}"

    async def delete_repository(self, name: RepositoryName, *, reason: str | None = None, actor: Actor) -> Entry:
        """Puts a repository into the trash with all that it has, in one step however much that is.

        Raises RepositoryUnknown, Pinned where a pin in it is in force.
        """

        async def delete(tx: Transaction) -> Entry:
            await tx.lock(locks.repository(name))
            repository_id = await repositories.identify(tx, name)
            if repository_id is None:
                raise RepositoryUnknown(name)
            if (pin := await pins.any_of(tx, repository_id)) is not None:
                raise pinned(pin)
            trash_id = await rows.add(tx, "repository", repository_id, actor=actor.name, keep=self._deleting.keep)
            if await repositories.identify(tx, name) != repository_id:  # it went with its project meanwhile
                raise RepositoryUnknown(name)
            await repositories.mark(tx, trash_id, repository_id)
            return await self._hide(tx, trash_id, reason=reason, actor=actor)

        return await self._database.write(delete)

    async def delete_project(self, name: str, *, reason: str | None = None, actor: Actor) -> Entry:
        """Puts a project into the trash with its repositories. Raises ProjectUnknown, Pinned."""

        async def delete(tx: Transaction) -> Entry:
            project_id = await repositories.identify_project(tx, name)
            if project_id is None:
                raise ProjectUnknown(name)
            trash_id = await rows.add_project(tx, project_id, actor=actor.name, keep=self._deleting.keep)
            if trash_id is None:
                raise ProjectUnknown(name)
            await repositories.mark_project(tx, trash_id, project_id)
            entry = await self._hide(tx, trash_id, reason=reason, actor=actor)
            # Last: whoever pins something in there now has waited for these rows, and pins what is in the trash.
            if (pin := await purging.pin_in(tx, trash_id)) is not None:
                raise pinned(pin)
            return entry

        return await self._database.write(delete)

    async def _hide(self, tx: Transaction, trash_id: int, *, reason: str | None, actor: Actor) -> Entry:
        """Takes the names of all repositories of an entry away, and says so."""
        await events.record_repositories(tx, "repository.deleted", trash_id, actor, reason=reason)
        if self._deleting.copied:
            await copies.owe_repositories(tx, "deleted", trash_id)
        await repositories.hide_all(tx, trash_id)
        entry = await rows.find(tx, trash_id)
        assert entry is not None  # noqa: S101  it was just made
        if entry.kind == "project":
            subject = f"project:{entry.name}"
            await events.record_change(
                tx, "project.deleted", subject, actor, project_id=entry.project_id, reason=reason
            )
        return entry

    async def purge(self, entry_id: int, *, actor: Actor) -> Listed:
        """Lets go of an entry for good; returns it with the bytes that nothing else needs, which the collector takes.

        Raises NotInTrash, Pinned.
        """
        found = await self.find(entry_id)
        await self._purging.entry(found.entry, actor=actor)
        return found

    async def any_due(self) -> bool:
        return await self._database.read(rows.any_due)

    async def due(self) -> int:
        """How many entries are kept no longer."""
        return await self._database.read(rows.count_due)

    async def purge_due(self) -> int:
        """Purges some of what its time is over, and returns how many entries. Harmless at once with others."""
        return await self._purging.due(limit=_DUE_AT_ONCE)

    async def window(self, project: str) -> Window:
        """Raises ProjectUnknown."""
        found = await self._database.read(partial(repositories.window, project=project))
        if found is None:
            raise ProjectUnknown(project)
        _, seconds = found
        return Window(self._deleting.keep // 1_000_000 if seconds is None else seconds, own=seconds is not None)

    async def set_window(self, project: str, seconds: int | None, *, actor: Actor) -> Window:
        """For what is deleted from now on; None for what the settings say. Raises ProjectUnknown."""

        async def change(tx: Transaction) -> None:
            await tx.lock(locks.accounts())
            found = await repositories.window(tx, project)
            if found is None:
                raise ProjectUnknown(project)
            project_id, before = found
            if before == seconds:
                return
            await repositories.set_window(tx, project_id, seconds)
            details = {"before": before, "after": seconds}
            await events.record_change(
                tx, "project.window-set", f"project:{project}", actor, project_id=project_id, details=details
            )

        await self._database.write(change)
        return await self.window(project)
