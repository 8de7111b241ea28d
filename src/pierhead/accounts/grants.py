"""Grants: a role for somebody, or for everybody who signed in, and where it counts."""

from pierhead.accounts import finding
from pierhead.accounts.by import By
from pierhead.accounts.holding import of_role
from pierhead.accounts.scopes import SYSTEM, Scope
from pierhead.errors import GrantUnknown
from pierhead.metadata import events, locks
from pierhead.metadata import grants as rows
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.grants import Grant
from pierhead.metadata.principals import Principal


class Grants:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, name: str | None, role: str, scope: Scope, *, by: By) -> tuple[Grant, bool]:
        """To a user, a team, a robot, or None: everybody. The grant, and whether it is new.

        Raises PrincipalUnknown, RoleUnknown, ProjectUnknown, GivesTooMuch.
        """

        async def add(tx: Transaction) -> tuple[Grant, bool]:
            await tx.lock(locks.accounts())
            principal = await finding.find(tx, name) if name is not None else None
            return await give(tx, principal, role, scope, by=by)

        return await self._database.write(add)

    async def remove(self, name: str | None, role: str, scope: Scope, *, by: By) -> Grant:
        """Raises PrincipalUnknown, ProjectUnknown, GrantUnknown, GivesTooMuch."""

        async def remove(tx: Transaction) -> Grant:
            await tx.lock(locks.accounts())
            principal = await finding.find(tx, name) if name is not None else None
            project_id = await scope.project_id(tx)
            found = await rows.like(tx, _id(principal), role, project_id, scope.pattern)
            if found is None:
                raise GrantUnknown(f"{name or 'everybody'} is not {role} on {scope}")
            return await _take(tx, found, by=by)

        return await self._database.write(remove)

    async def remove_by_id(self, grant_id: int, *, by: By) -> Grant:
        """Raises GrantUnknown, GivesTooMuch."""

        async def remove(tx: Transaction) -> Grant:
            await tx.lock(locks.accounts())
            found = await rows.find(tx, grant_id)
            if found is None:
                raise GrantUnknown(f"{grant_id}")
            return await _take(tx, found, by=by)

        return await self._database.write(remove)

    async def page(
        self, name: str | None = None, *, project: str | None = None, after: int = 0, size: int
    ) -> list[Grant]:
        """With greater ids than `after`: to somebody, on a project, or all. Raises PrincipalUnknown, ProjectUnknown."""

        async def page(tx: Transaction) -> list[Grant]:
            principal = await finding.find(tx, name) if name is not None else None
            project_id = await Scope(project).project_id(tx) if project is not None else None
            principal_id = _id(principal)
            return await rows.page(tx, principal_id=principal_id, project_id=project_id, after=after, limit=size)

        return await self._database.read(page)


async def give(tx: Transaction, principal: Principal | None, role: str, scope: Scope, *, by: By) -> tuple[Grant, bool]:
    """In the transaction of whoever holds the lock of accounts."""
    by.require(await of_role(tx, role, in_the_system=scope == SYSTEM))
    principal_id, project_id = _id(principal), await scope.project_id(tx)
    made = await rows.add(tx, principal_id, role, project_id, scope.pattern, actor=by.actor.name)
    found = await rows.like(tx, principal_id, role, project_id, scope.pattern)
    assert found is not None  # noqa: S101  it is new, or was in the way of a new one
    if made is not None:
        await _record(tx, "added", found, by)
    return found, made is not None


def _id(principal: Principal | None) -> int | None:
    return None if principal is None else principal.id


async def _take(tx: Transaction, grant: Grant, *, by: By) -> Grant:
    by.require(await of_role(tx, grant.role, in_the_system=grant.project_id is None))
    await rows.remove(tx, grant.id)
    await _record(tx, "removed", grant, by)
    return grant


async def _record(tx: Transaction, what: str, grant: Grant, by: By) -> None:
    details = {
        "to": grant.principal or "everybody",
        "role": grant.role,
        "on": str(Scope(grant.project, grant.pattern)),
    }
    await events.record_change(
        tx, f"grant.{what}", f"grant:{grant.id}", by.actor, project_id=grant.project_id, details=details
    )
