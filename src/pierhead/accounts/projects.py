"""Projects: made by hand, public or private. What they are called is changed by `renaming`."""

from dataclasses import dataclass
from functools import partial

from pierhead.access_settings import ProjectSettings
from pierhead.accounts import finding, names
from pierhead.accounts.by import By
from pierhead.accounts.grants import give
from pierhead.accounts.renaming import Renaming
from pierhead.accounts.scopes import Scope
from pierhead.errors import AccountInvalid, AlreadyThere, ProjectUnknown, RepositoryUnknown
from pierhead.metadata import aliases, events, grants, locks, repositories
from pierhead.metadata import projects as rows
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.grants import Grant
from pierhead.metadata.projects import Project, Visibility
from pierhead.models import Actor, RepositoryName
from pierhead.verbs import ALL

_ADMIN = "admin"
_GRANTS_MOST = 1000


@dataclass(frozen=True, slots=True)
class Shown:
    project: Project
    repositories: int
    grants: list[Grant]


class Projects:
    def __init__(self, database: Database, settings: ProjectSettings, *, copied: bool = False) -> None:
        self._database = database
        self.settings = settings
        self.renaming = Renaming(database, copied=copied)

    async def create(
        self, name: str, *, visibility: Visibility = "private", admin: str | None = None, by: By
    ) -> Project:
        """`admin`: who administers it; where there is none said, whoever makes it, if he has an account.

        Raises AccountInvalid, AlreadyThere, PrincipalUnknown.
        """
        names.parse_project(name)

        async def create(tx: Transaction) -> Project:
            await tx.lock(locks.accounts())
            await _require_free(tx, name)
            project_id = await rows.add(tx, name, visibility=visibility)
            if not project_id:
                raise AlreadyThere(f"there is a project {name}")
            details = {"visibility": visibility}
            await events.record_change(
                tx, "project.created", f"project:{name}", by.actor, project_id=project_id, details=details
            )
            who = admin if admin is not None else (by.actor.name if by.actor.id is not None else None)
            if who is not None:  # of what he makes, its maker may give everything
                await give(tx, await finding.find(tx, who), _ADMIN, Scope(name), by=By(by.actor, ALL))
            return await _find(tx, name)

        return await self._database.write(create)

    async def show(self, name: str) -> Shown:
        """Raises ProjectUnknown."""

        async def show(tx: Transaction) -> Shown:
            project = await _find(tx, name)
            held = await grants.page(tx, project_id=project.id, limit=_GRANTS_MOST)
            return Shown(project, await rows.count_repositories(tx, project.id), held)

        return await self._database.read(show)

    async def page(self, *, after: str = "", size: int) -> list[Project]:
        return await self._database.read(partial(rows.page, after=after, limit=size))

    async def set_visibility(self, name: str, visibility: Visibility, *, by: By) -> Project:
        """From the next request on everybody may pull, or only who was granted it. Raises ProjectUnknown."""

        async def change(tx: Transaction) -> Project:
            await tx.lock(locks.accounts())
            before = await _find(tx, name)
            if before.visibility != visibility:
                await rows.set_visibility(tx, before.id, visibility)
                details = {"before": before.visibility, "after": visibility}
                await events.record_change(
                    tx, "project.visibility-set", f"project:{name}", by.actor, project_id=before.id, details=details
                )
            return await _find(tx, name)

        return await self._database.write(change)

    async def set_visibility_of_repository(
        self, name: RepositoryName, visibility: Visibility | None, *, by: By
    ) -> None:
        """None: as its project. Raises RepositoryUnknown."""

        async def change(tx: Transaction) -> None:
            await tx.lock(locks.accounts())
            repository_id = await repositories.identify(tx, name)
            if repository_id is None:
                raise RepositoryUnknown(name)
            before = await rows.visibility_of_repository(tx, repository_id)
            if before == visibility:
                return
            await rows.set_visibility_of_repository(tx, repository_id, visibility)
            details = {"before": before, "after": visibility}
            project_id = await repositories.identify_project(tx, name.project)
            await events.record_change(
                tx,
                "repository.visibility-set",
                f"repository:{name}",
                by.actor,
                project_id=project_id,
                repository_id=repository_id,
                details=details,
            )

        await self._database.write(change)


async def personal(tx: Transaction, principal_id: int, name: str, actor: Actor) -> int | None:
    """The id of a user's own project, made where he has none; in the transaction of whoever signs him in, or pushes.

    None where his name cannot be a project's, or another project has it.
    """
    if (found := await rows.owned_by(tx, principal_id)) is not None:
        return found
    try:
        names.parse_project(name)
        await _require_free(tx, name)
    except (AccountInvalid, AlreadyThere):
        return None
    project_id = await rows.add(tx, name, owner_id=principal_id)
    if not project_id:
        return None
    details = {"visibility": "private", "owner": name}
    await events.record_change(tx, "project.created", f"project:{name}", actor, project_id=project_id, details=details)
    await give(tx, await finding.find(tx, name), _ADMIN, Scope(name), by=By(actor, ALL))
    return project_id


async def _find(tx: Transaction, name: str) -> Project:
    found = None if "@" in name else await rows.find(tx, name)  # no rows of what was deleted
    if found is None:
        alias = await aliases.find(tx, "project", name)
        raise ProjectUnknown(name if alias is None else f"{name}; it is called {alias.target} now")
    return found


async def _require_free(tx: Transaction, name: str) -> None:
    alias = await aliases.find(tx, "project", name)
    if alias is not None:
        raise AlreadyThere(f"{name} leads to {alias.target}; first: pierhead project alias remove {name}")
