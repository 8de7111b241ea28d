"""Custom roles: named sets of verbs, beside those that come with the program."""

from dataclasses import dataclass

from pierhead.accounts import names
from pierhead.accounts.by import By
from pierhead.errors import AccountInvalid, AlreadyThere, RoleInUse, RoleUnknown
from pierhead.metadata import events, grants, locks
from pierhead.metadata import roles as rows
from pierhead.metadata.database import Database, Transaction
from pierhead.verbs import ROLES, Verbs, known

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Role:
    name: str
    verbs: Verbs
    custom: bool


class Roles:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, name: str, verbs: Verbs, *, by: By) -> Role:
        """Raises AccountInvalid, AlreadyThere, GivesTooMuch."""
        names.role(name)
        _require_any(verbs)
        by.require(verbs)

        async def create(tx: Transaction) -> None:
            await tx.lock(locks.accounts())
            if await rows.find(tx, name) is not None:
                raise AlreadyThere(name)
            await rows.put(tx, name, verbs)
            await _record(tx, "created", name, by, verbs=sorted(verbs))

        await self._database.write(create)
        return Role(name, verbs, custom=True)

    async def change(self, name: str, verbs: Verbs, *, by: By) -> Role:
        """For all who have it, from the next request on. Raises RoleUnknown, AccountInvalid, GivesTooMuch."""
        names.role(name)
        _require_any(verbs)

        async def change(tx: Transaction) -> None:
            await tx.lock(locks.accounts())
            before = known(await _find(tx, name))
            by.require(before | verbs)
            await rows.put(tx, name, verbs)
            await _record(tx, "changed", name, by, before=sorted(before), after=sorted(verbs))

        await self._database.write(change)
        return Role(name, verbs, custom=True)

    async def delete(self, name: str, *, by: By) -> None:
        """Raises RoleUnknown, AccountInvalid, GivesTooMuch, RoleInUse with who has it."""
        names.role(name)

        async def delete(tx: Transaction) -> None:
            await tx.lock(locks.accounts())
            verbs = known(await _find(tx, name))
            by.require(verbs)
            if held := await grants.page(tx, role=name, limit=_SHOWN + 1):
                by_whom = [grant.principal or "everybody" for grant in held[:_SHOWN]]
                raise RoleInUse(f"{name} is held by {', '.join(by_whom)}{' and others' * (len(held) > _SHOWN)}")
            await rows.remove(tx, name)
            await _record(tx, "deleted", name, by, before=sorted(verbs))

        await self._database.write(delete)

    async def all_(self) -> list[Role]:
        """First those that come with the program."""
        custom = await self._database.read(rows.all_)
        return [
            *(Role(name, verbs, custom=False) for name, verbs in ROLES.items()),
            *(Role(name, known(words), custom=True) for name, words in custom.items()),
        ]


async def _find(tx: Transaction, name: str) -> tuple[str, ...]:
    words = await rows.find(tx, name)
    if words is None:
        raise RoleUnknown(name)
    return words


def _require_any(verbs: Verbs) -> None:
    if not verbs:
        raise AccountInvalid("a role has verbs; docs/reference/roles.md lists them")


async def _record(tx: Transaction, what: str, name: str, by: By, **details: object) -> None:
    await events.record_change(tx, f"role.{what}", f"role:{name}", by.actor, details=details)
