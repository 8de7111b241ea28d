"""From whom a source knows to the user of this registry: a row, made at the first sign-in, bound to that source."""

import logging

from pierhead.access.htpasswd import AccountsFile
from pierhead.access.principal import Credential, Principal
from pierhead.access.sources import Identity
from pierhead.access_settings import ProjectSettings
from pierhead.accounts import names
from pierhead.accounts.projects import personal
from pierhead.errors import Unauthenticated, Unavailable
from pierhead.metadata import events, locks, sign_ins
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.sign_ins import Named, SignedIn
from pierhead.models import Actor

log = logging.getLogger(__name__)


class Users:
    def __init__(self, database: Database, projects: ProjectSettings, file: AccountsFile | None = None) -> None:
        self._database = database
        self._file = file
        self._personal = projects.personal

    async def signed_in(
        self, identity: Identity, *, credential: Credential = "password", version: int | None = None, new: bool = True
    ) -> Principal:
        """Who that is here. `new`: whether somebody may come who was never here.

        Raises Unauthenticated where the name belongs to another source, or nobody new may come.
        """
        told = SignedIn(
            identity.source, identity.name, identity.subject, identity.display, identity.email, identity.groups
        )
        found = await self._database.read(lambda tx: sign_ins.unchanged(tx, told))
        if found is None:
            found = await self._write(told, new=new)
        if found is None:
            log.warning("nobody was let in", extra={"user": identity.name, "source": identity.source})
            raise Unauthenticated("this name belongs to somebody else, or has no account here")
        return Principal(found.name, credential, found.id, version=version, source=identity.source)

    async def _write(self, told: SignedIn, *, new: bool) -> Named | None:
        known = await self._database.read(lambda tx: sign_ins.known(tx, told))
        if known is None and not (new and self._may_be_new(told)):
            return None
        try:
            return await self._database.write(lambda tx: self._remember(tx, told))
        except Unavailable:
            if known is None:
                raise
            return known  # a registry that takes no writes now still lets in whom it knows

    def _may_be_new(self, told: SignedIn) -> bool:
        """Whoever may choose what his source calls him takes nobody's name: no line's of the file, and no team's."""
        if told.source == "htpasswd":
            return True
        in_file = self._file is not None and told.name in self._file.current().by_name
        return not in_file and names.is_for_users(told.name)

    async def _remember(self, tx: Transaction, told: SignedIn) -> Named | None:
        """With a project of his own, where users get one."""
        if self._personal:
            await tx.lock(locks.accounts())
        found = await sign_ins.remember(tx, told)
        if found is None:
            return None
        actor = Actor(found.name, told.source, id=found.id)
        if found.returned:
            await events.record_change(tx, "user.returned", f"user:{found.name}", actor)
        if self._personal:
            await personal(tx, found.id, found.name, actor)
        return found
