"""Users: those with a password here, and those that other sources of accounts know."""

from dataclasses import dataclass
from functools import partial

from pierhead.access_settings import PasswordSettings
from pierhead.accounts import finding, names, passwords
from pierhead.accounts.by import By
from pierhead.accounts.grants import give
from pierhead.accounts.holding import require_no_less
from pierhead.accounts.scopes import SYSTEM
from pierhead.errors import AccountInvalid, AlreadyThere, PrincipalUnknown
from pierhead.metadata import grants, locks, rights, second_factors
from pierhead.metadata import passwords as password_rows
from pierhead.metadata import principals as rows
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.grants import Grant
from pierhead.metadata.principals import Principal

_GRANTS_MOST = 1000
_ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Shown:
    """A user with what he was given."""

    user: Principal
    teams: list[str]
    grants: list[Grant]


class Users:
    def __init__(self, database: Database, settings: PasswordSettings) -> None:
        self._database = database
        self._settings = settings

    async def create(
        self, name: str, password: str | None, *, admin: bool = False, display: str = "", email: str = "", by: By
    ) -> Principal:
        """One without a password signs in with tokens only. The first account ends the open mode for good.

        Raises AccountInvalid, PasswordRefused, AlreadyThere, GivesTooMuch.
        """
        names.user(name), names.line(display), names.line(email)
        hashed = None if password is None else await self._hashed(name, password)

        async def create(tx: Transaction) -> Principal:
            await tx.lock(locks.accounts())
            made = await rows.add(tx, "user", name, display=display, email=email)
            if made is None:
                raise AlreadyThere(await _taken(tx, name))
            if hashed is not None:
                await password_rows.put(tx, made, hashed)
            await rights.close(tx)
            user = await finding.find(tx, name)
            await finding.record(tx, "created", user, by)
            if admin:
                await give(tx, user, _ADMIN, SYSTEM, by=by)
            return user

        return await self._database.write(create)

    async def set_password(self, name: str, password: str, *, by: By) -> None:
        """Whoever signed in with the one before has to sign in anew, and what `docker login` kept ends with it.

        Raises PrincipalUnknown, AccountInvalid, PasswordRefused, GivesTooMuch.
        """
        hashed = await self._hashed(name, password)

        async def change(tx: Transaction) -> None:
            await tx.lock(locks.accounts())
            user = await finding.find(tx, name, "user")
            if user.source != "local":
                raise AccountInvalid(f"the password of {name} is changed where it is kept: {user.source}")
            await require_no_less(tx, user, by)
            await password_rows.put(tx, user.id, hashed)
            await finding.record(tx, "password-set", user, by)

        await self._database.write(change)

    async def describe(self, name: str, *, display: str, email: str, by: By) -> None:
        """Raises PrincipalUnknown, AccountInvalid."""
        names.line(display), names.line(email)

        async def change(tx: Transaction) -> None:
            user = await finding.find(tx, name, "user")
            await rows.describe(tx, user.id, display=display, email=email)
            before = {"display": user.display, "email": user.email}
            await finding.record(tx, "changed", user, by, before=before, after={"display": display, "email": email})

        await self._database.write(change)

    async def set_disabled(self, name: str, *, disabled: bool, by: By) -> None:
        """He is refused from the next request on, by whichever credential. Raises PrincipalUnknown, GivesTooMuch."""

        async def change(tx: Transaction) -> None:
            await tx.lock(locks.accounts())
            await finding.set_disabled(tx, await finding.find(tx, name, "user"), disabled=disabled, by=by)

        await self._database.write(change)

    async def delete(self, name: str, *, by: By) -> None:
        """With tokens, grants and memberships. Raises PrincipalUnknown, GivesTooMuch."""

        async def delete(tx: Transaction) -> None:
            await tx.lock(locks.accounts())
            await finding.remove(tx, await finding.find(tx, name, "user"), by=by)

        await self._database.write(delete)

    async def reset_second_factor(self, name: str, *, by: By) -> bool:
        """For one who lost it; False where there is none. Raises PrincipalUnknown, GivesTooMuch."""

        async def reset(tx: Transaction) -> bool:
            await tx.lock(locks.accounts())
            user = await finding.find(tx, name, "user")
            await require_no_less(tx, user, by)
            removed = await second_factors.remove(tx, user.id)
            if removed:
                await finding.record(tx, "second-factor-removed", user, by)
            return removed

        return await self._database.write(reset)

    async def page(self, *, after: str = "", size: int) -> list[Principal]:
        return await self._database.read(partial(rows.page, kind="user", after=after, limit=size))

    async def show(self, name: str) -> Shown:
        """Raises PrincipalUnknown."""

        async def show(tx: Transaction) -> Shown:
            user = await finding.find(tx, name, "user")
            holder = await rights.holder(tx, user.id)
            if holder is None:
                raise PrincipalUnknown(name)
            ids = await rights.teams(tx, holder)
            teams = [team.name for one in ids if (team := await rights.holder(tx, one)) is not None]
            own = await grants.page(tx, principal_id=user.id, limit=_GRANTS_MOST)
            return Shown(user, sorted(teams), own)

        return await self._database.read(show)

    async def _hashed(self, name: str, password: str) -> str:
        return await passwords.hashed(name, password, min_length=self._settings.min_length)


async def _taken(tx: Transaction, name: str) -> str:
    other = await finding.find(tx, name)
    return name if other.source == "local" else f"{name}, a user who signs in by {other.source}"
