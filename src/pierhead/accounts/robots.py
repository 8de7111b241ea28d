"""Robots: accounts of machines, each of a project or of the system, that sign in with secrets of their own."""

from dataclasses import dataclass

from pierhead.accounts import finding, names
from pierhead.accounts.by import By
from pierhead.accounts.grants import give
from pierhead.accounts.scopes import SYSTEM, Scope
from pierhead.accounts.tokens import Asked, Made, Tokens
from pierhead.errors import AlreadyThere
from pierhead.metadata import grants, locks, rights
from pierhead.metadata import principals as rows
from pierhead.metadata import tokens as token_rows
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.grants import Grant
from pierhead.metadata.principals import Principal
from pierhead.metadata.tokens import Token

_GRANTS_MOST = 1000
FIRST = "first"  # what its first secret is called


@dataclass(frozen=True, slots=True)
class Shown:
    robot: Principal
    grants: list[Grant]
    tokens: list[Token]  # that sign in still


class Robots:
    def __init__(self, database: Database, tokens: Tokens) -> None:
        self._database = database
        self._tokens = tokens

    async def create(
        self,
        name: str,
        role: str | None,
        *,
        pattern: str | None = None,
        asked: Asked | None = None,
        display: str = "",
        by: By,
    ) -> tuple[Principal, Made]:
        """With a role on its project, or on what in it fits a pattern, or on the system; and with its first secret.

        Raises AccountInvalid, AlreadyThere, ProjectUnknown, RoleUnknown, GivesTooMuch.
        """
        project, name = names.robot(name)
        names.line(display)
        scope = _scope(project, pattern)
        asked = asked or Asked(FIRST)
        asked.require()

        async def create(tx: Transaction) -> tuple[Principal, Made]:
            await tx.lock(locks.accounts())
            project_id = await Scope(project).project_id(tx)
            if await rows.add(tx, "robot", name, project_id=project_id, display=display) is None:
                other = await finding.find(tx, name)
                gone = f" belongs to a project that was deleted; first: pierhead robot delete {name}"
                raise AlreadyThere(name + gone * (other.project_id != project_id))
            await rights.close(tx)
            robot = await finding.find(tx, name)
            await finding.record(tx, "created", robot, by)
            if role is not None:
                await give(tx, robot, role, scope, by=by)
            return robot, await self._tokens.add(tx, robot, asked, by=by)

        return await self._database.write(create)

    async def set_disabled(self, name: str, *, disabled: bool, by: By) -> None:
        """Raises PrincipalUnknown, GivesTooMuch."""

        async def change(tx: Transaction) -> None:
            await tx.lock(locks.accounts())
            await finding.set_disabled(tx, await finding.find(tx, name, "robot"), disabled=disabled, by=by)

        await self._database.write(change)

    async def delete(self, name: str, *, by: By) -> None:
        """With its secrets and grants. Raises PrincipalUnknown, GivesTooMuch."""

        async def delete(tx: Transaction) -> None:
            await tx.lock(locks.accounts())
            await finding.remove(tx, await finding.find(tx, name, "robot"), by=by)

        await self._database.write(delete)

    async def page(self, project: str | None = None, *, after: str = "", size: int) -> list[Principal]:
        """Of a project, or all. Raises ProjectUnknown."""

        async def page(tx: Transaction) -> list[Principal]:
            project_id = await Scope(project).project_id(tx)
            return await rows.page(tx, "robot", after=after, project_id=project_id, limit=size)

        return await self._database.read(page)

    async def show(self, name: str) -> Shown:
        """Raises PrincipalUnknown."""

        async def show(tx: Transaction) -> Shown:
            robot = await finding.find(tx, name, "robot")
            held = await grants.page(tx, principal_id=robot.id, limit=_GRANTS_MOST)
            return Shown(robot, held, await token_rows.page(tx, principal_id=robot.id, limit=_GRANTS_MOST))

        return await self._database.read(show)


def _scope(project: str | None, pattern: str | None) -> Scope:
    """Raises AccountInvalid."""
    if project is None:
        return SYSTEM if pattern is None else Scope.parse(pattern)
    return Scope.parse(f"{project}/{pattern}" if pattern else project)
