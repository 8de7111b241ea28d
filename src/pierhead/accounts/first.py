"""The first administrator: made by whoever has the token that `pierhead serve` prints, or by the settings.

The token is good once, for whoever comes first in any process of any node, and until there is an account by any way.
What is kept of it is a hash; a server that starts draws another one in its place.
"""

import hashlib
import secrets
from functools import partial

from pierhead.access_settings import PasswordSettings
from pierhead.accounts import finding, names, passwords
from pierhead.accounts.by import By
from pierhead.errors import AlreadyThere, SetupOver
from pierhead.metadata import events, grants, locks, rights, setups
from pierhead.metadata import passwords as password_rows
from pierhead.metadata import principals as rows
from pierhead.metadata.database import Database, Transaction
from pierhead.models import Actor
from pierhead.verbs import ALL

_ADMIN = "admin"


class FirstAdministrator:
    def __init__(self, database: Database, settings: PasswordSettings) -> None:
        self._database = database
        self._settings = settings

    async def offer(self) -> str | None:
        """A new token; None where the registry has accounts."""
        token = secrets.token_urlsafe(32)
        offered = await self._database.write(partial(setups.offer, hashed=_hashed(token)))
        return token if offered else None

    async def is_offered(self, token: str) -> bool:
        return await self._database.read(partial(setups.is_offered, hashed=_hashed(token)))

    async def create(self, token: str, name: str, password: str, *, actor: Actor) -> None:
        """With the token, which is then used up. Raises SetupOver, AccountInvalid, PasswordRefused."""
        names.user(name)
        hashed = await passwords.hashed(name, password, min_length=self._settings.min_length)

        async def create(tx: Transaction) -> None:
            await tx.lock(locks.accounts())
            if not await setups.take(tx, _hashed(token)):
                raise SetupOver
            await _make(tx, name, hashed, actor)

        await self._database.write(create)

    async def is_late(self) -> bool:
        """Whether there are users already."""
        return await self._database.read(setups.has_users)

    async def create_by_settings(self, name: str, password: str) -> bool:
        """Where there are no users yet, and only then. Raises AccountInvalid, PasswordRefused."""
        names.user(name)
        hashed = await passwords.hashed(name, password, min_length=self._settings.min_length)

        async def create(tx: Transaction) -> bool:
            await tx.lock(locks.accounts())
            if await setups.has_users(tx):
                return False
            await _make(tx, name, hashed, Actor("the settings", credential="local"))
            return True

        return await self._database.write(create)


async def _make(tx: Transaction, name: str, hashed: str, actor: Actor) -> None:
    """In the transaction of whoever holds the lock of accounts."""
    made = await rows.add(tx, "user", name)
    if made is None:
        raise AlreadyThere(name)
    await password_rows.put(tx, made, hashed)
    await setups.withdraw(tx)
    await rights.close(tx)
    by = By(actor, ALL)
    await finding.record(tx, "created", await finding.find(tx, name), by)
    grant = await grants.add(tx, made, _ADMIN, None, None, actor=actor.name)
    details = {"to": name, "role": _ADMIN, "on": "the system"}
    await events.record_change(tx, "grant.added", f"grant:{grant}", actor, details=details)


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
