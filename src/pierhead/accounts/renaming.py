"""Other names for projects and repositories. Grants, history and the trash stay; the old name leads to the new one.

It is an alias from then on, and nobody else's before it is removed. Uploads that were begun under it go on. What the
store keeps copies of is told anew under the new name.
"""

from functools import partial
from typing import Literal

from pierhead.accounts import names
from pierhead.accounts.by import By
from pierhead.errors import AccountInvalid, AliasUnknown, AlreadyThere, Busy, ProjectUnknown, RepositoryUnknown, TooMany
from pierhead.metadata import aliases, copies, events, locks, principals, projects, repositories
from pierhead.metadata.aliases import Alias
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.locks import Lock
from pierhead.models import NAME_MAX, RepositoryName

# Each is locked while the project is renamed, and a database keeps so many locks.
REPOSITORIES_MOST = 3000
_TRIES = 5


class Renaming:
    def __init__(self, database: Database, *, copied: bool) -> None:
        self._database = database
        self._copied = copied

    async def project(self, before: str, after: str, *, by: By) -> None:
        """Its repositories and robots get new names with it.

        Raises ProjectUnknown, AccountInvalid, AlreadyThere, TooMany where it has too many repositories.
        """
        names.parse_project(after)
        if "@" in before:  # the row of one that was deleted
            raise ProjectUnknown(before)
        if before == after:
            raise AlreadyThere(f"it is called {after} already")
        for _ in range(_TRIES):
            held = await self._database.read(partial(_repositories, name=before))
            if len(held) > REPOSITORIES_MOST:
                raise TooMany(f"a project of more than {REPOSITORIES_MOST} repositories is not renamed")
            if await self._database.write(partial(self._project, before=before, after=after, held=held, by=by)):
                return
        raise Busy(f"repositories are being made in {before}")

    async def _project(self, tx: Transaction, *, before: str, after: str, held: list[RepositoryName], by: By) -> bool:
        """False where it has other repositories meanwhile than those that are locked."""
        await tx.lock(locks.accounts(), *map(locks.repository, held))
        project_id = await projects.hold(tx, before)
        if project_id is None:
            raise ProjectUnknown(before)
        if await projects.repositories(tx, project_id, limit=REPOSITORIES_MOST + 1) != held:
            return False
        if any(len(name) - len(before) + len(after) > NAME_MAX for name in held):
            raise AccountInvalid(f"the name of a repository would have more than {NAME_MAX} characters")
        await _free(tx, "project", after, project_id)
        in_the_way = await aliases.in_the_way(tx, project_id, before=before, after=after)
        if in_the_way is not None:
            raise AlreadyThere(f"{in_the_way} leads to another repository")
        if self._copied:
            await copies.owe_project(tx, "deleted", project_id)
        if not await projects.rename(tx, project_id, before=before, after=after):
            raise AlreadyThere(f"there is a project {after}")
        if not await principals.rename_robots(tx, project_id, length=len(before), name=after):
            raise AlreadyThere(f"a project {after} that was deleted has a robot of the same name; delete that robot")
        await aliases.add_project(tx, before, project_id)
        await aliases.drop_own(tx, project_id)
        await projects.move_uploads(tx, before=before, after=after, whole_project=True)
        if self._copied:
            await copies.owe_project(tx, "pushed", project_id)
        await _record(tx, "project", project_id, by, before=before, after=after)
        return True

    async def repository(self, before: RepositoryName, after: RepositoryName, *, by: By) -> None:
        """In its project, or into another one. Grants on it by its very name go with it.

        Raises RepositoryUnknown, ProjectUnknown, AlreadyThere.
        """
        if before == after:
            raise AlreadyThere(f"it is called {after} already")

        async def rename(tx: Transaction) -> None:
            taken: set[Lock] = {locks.repository(before), locks.repository(after), locks.accounts()}
            await tx.lock(*taken)
            kept = await projects.keep(tx, before.project, after.project)
            repository_id = await repositories.identify(tx, before)
            if repository_id is None:
                raise RepositoryUnknown(await _told(tx, "repository", before))
            source, target = kept.get(before.project), kept.get(after.project)
            if source is None or target is None:
                raise ProjectUnknown(f"{after.project}; make it first: pierhead project create {after.project}")
            await _free(tx, "repository", after, repository_id)
            if self._copied:
                await copies.owe_repository(tx, "deleted", repository_id)
            if not await repositories.show(tx, repository_id, after, target):
                raise AlreadyThere(f"there is a repository {after}")
            await aliases.add_repository(tx, before, repository_id)
            await self._take_along(tx, repository_id, (source, before), (target, after))
            await _record(tx, "repository", target, by, before=before, after=after, repository_id=repository_id)

        await self._database.write(rename)

    async def _take_along(
        self, tx: Transaction, repository_id: int, before: tuple[int, RepositoryName], after: tuple[int, RepositoryName]
    ) -> None:
        await projects.move_uploads(tx, before=before[1], after=after[1])
        await projects.move_trash(tx, repository_id, after=after[1], project_id=after[0])
        was, is_ = [(project, name.partition("/")[2]) for project, name in (before, after)]
        if was[1] and is_[1]:  # the root repository of a project has no name of its own in it
            await projects.move_grants(tx, before=was, after=is_)
            await projects.move_tokens(tx, before=was, after=is_)
        if self._copied:
            await copies.owe_repository(tx, "pushed", repository_id)

    async def aliases(self, *, after: str = "", size: int) -> list[Alias]:
        return await self._database.read(partial(aliases.page, after=after, limit=size))

    async def remove_alias(self, name: str, *, by: By) -> Alias:
        """The name leads nowhere from then on, and may be used anew. Raises AliasUnknown."""

        async def remove(tx: Transaction) -> Alias:
            await tx.lock(locks.accounts())
            found = await aliases.find(tx, "repository" if "/" in name else "project", name)
            # A repository may be called like a project.
            found = found or await aliases.find(tx, "repository", name)
            if found is None:
                raise AliasUnknown(name)
            await aliases.remove(tx, found)
            await events.record_change(
                tx, "alias.removed", f"{found.kind}:{found.target}", by.actor, details={"before": name}
            )
            return found

        return await self._database.write(remove)


async def _repositories(tx: Transaction, name: str) -> list[RepositoryName]:
    project_id = await repositories.identify_project(tx, name)
    if project_id is None:
        raise ProjectUnknown(await _told(tx, "project", name))
    return await projects.repositories(tx, project_id, limit=REPOSITORIES_MOST + 1)


async def _told(tx: Transaction, kind: Literal["project", "repository"], name: str) -> str:
    """A name that is not there, with what it leads to."""
    alias = await aliases.find(tx, kind, name)
    return name if alias is None else f"{name}; it is called {alias.target} now"


async def _free(tx: Transaction, kind: Literal["project", "repository"], name: str, target_id: int) -> None:
    """Lets a name be had again by what had it. Raises AlreadyThere where it leads to something else."""
    alias = await aliases.find(tx, kind, name)
    if alias is None:
        return
    if alias.target_id != target_id:
        raise AlreadyThere(f"{name} leads to {alias.target}; first: pierhead project alias remove {name}")
    await aliases.remove(tx, alias)


async def _record(
    tx: Transaction,
    kind: Literal["project", "repository"],
    project_id: int,
    by: By,
    *,
    before: str,
    after: str,
    repository_id: int | None = None,
) -> None:
    await events.record_change(
        tx,
        f"{kind}.renamed",
        f"{kind}:{after}",
        by.actor,
        project_id=project_id,
        repository_id=repository_id,
        details={"before": before, "after": after},
    )
