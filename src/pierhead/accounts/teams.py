"""Teams: those who are put into them, or all of a group that another source tells of."""

import re
from dataclasses import dataclass
from functools import partial

from pierhead.accounts import finding, names
from pierhead.accounts.by import By
from pierhead.accounts.holding import of_principal
from pierhead.errors import AccountInvalid, AlreadyThere
from pierhead.metadata import events, grants, locks, memberships
from pierhead.metadata import principals as rows
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.grants import Grant
from pierhead.metadata.principals import Principal

_MEMBERS_MOST = 10_000
_GRANTS_MOST = 1000
_SOURCE = re.compile(r"(ldap|oidc):[a-z0-9][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True)
class Group:
    """A group as its source calls it."""

    source: str  # ldap:<name> or oidc:<name>
    name: str

    @classmethod
    def parse(cls, text: str) -> "Group":
        """`ldap:corp=developers`. Raises AccountInvalid."""
        source, equals, name = text.partition("=")
        if not equals or not _SOURCE.fullmatch(source) or not name:
            raise AccountInvalid("a group is told as SOURCE=GROUP, such as ldap:corp=developers")
        return cls(source, names.line(name))

    def __str__(self) -> str:
        return f"{self.source}={self.name}"


@dataclass(frozen=True, slots=True)
class Shown:
    team: Principal
    members: list[str]  # that were put into it
    grants: list[Grant]


class Teams:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, name: str, *, group: Group | None = None, display: str = "", by: By) -> Principal:
        """Raises AccountInvalid, AlreadyThere."""
        name = names.team(name)
        names.line(display)

        async def create(tx: Transaction) -> Principal:
            await tx.lock(locks.accounts())
            source, subject = (group.source, group.name) if group else ("local", name)
            if await rows.add(tx, "team", name, source=source, subject=subject, display=display) is None:
                raise AlreadyThere(name)
            team = await finding.find(tx, name)
            await finding.record(tx, "created", team, by, **({"group": str(group)} if group else {}))
            return team

        return await self._database.write(create)

    async def delete(self, name: str, *, by: By) -> None:
        """With its grants. Raises PrincipalUnknown, GivesTooMuch."""
        name = names.team(name)

        async def delete(tx: Transaction) -> None:
            await tx.lock(locks.accounts())
            await finding.remove(tx, await finding.find(tx, name, "team"), by=by)

        await self._database.write(delete)

    async def add_member(self, name: str, member: str, *, by: By) -> bool:
        """A user or a robot; False where it is in it already. Raises PrincipalUnknown, AccountInvalid, GivesTooMuch."""

        async def add(tx: Transaction) -> bool:
            team, principal = await self._both(tx, name, member, by)
            added = await memberships.add(tx, team.id, principal.id)
            if added:
                await _record(tx, "member-added", team, principal, by)
            return added

        return await self._database.write(add)

    async def remove_member(self, name: str, member: str, *, by: By) -> bool:
        """False where it is not in it. Raises PrincipalUnknown, GivesTooMuch."""

        async def remove(tx: Transaction) -> bool:
            team, principal = await self._both(tx, name, member, by)
            removed = await memberships.remove(tx, team.id, principal.id)
            if removed:
                await _record(tx, "member-removed", team, principal, by)
            return removed

        return await self._database.write(remove)

    async def page(self, *, after: str = "", size: int) -> list[Principal]:
        return await self._database.read(partial(rows.page, kind="team", after=after, limit=size))

    async def show(self, name: str) -> Shown:
        """Raises PrincipalUnknown."""
        name = names.team(name)

        async def show(tx: Transaction) -> Shown:
            team = await finding.find(tx, name, "team")
            members = await memberships.of_team(tx, team.id, limit=_MEMBERS_MOST)
            return Shown(team, members, await grants.page(tx, principal_id=team.id, limit=_GRANTS_MOST))

        return await self._database.read(show)

    async def _both(self, tx: Transaction, name: str, member: str, by: By) -> tuple[Principal, Principal]:
        """What the team holds is given, or taken."""
        await tx.lock(locks.accounts())
        team = await finding.find(tx, names.team(name), "team")
        if member.startswith("@"):
            raise AccountInvalid("a team has users and robots in it, not teams")
        by.require(await of_principal(tx, team))
        return team, await finding.find(tx, member, "user", "robot")


async def _record(tx: Transaction, what: str, team: Principal, member: Principal, by: By) -> None:
    await events.record_change(tx, f"team.{what}", f"team:{team.name}", by.actor, details={"member": member.name})
