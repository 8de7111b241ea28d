"""People whom their directory knows no more: suspended until it knows them again, or they sign in again.

What is held beside a password, such as a token, would else outlive the person's place in the company. Only an answer
suspends somebody; a directory that gives none changes nothing. An administrator's disabling is another thing: it stays.
"""

import logging
from dataclasses import replace
from functools import partial
from typing import Protocol

from pierhead.access.ldap.failures import DirectoryRefused
from pierhead.access.sources import Identity, SourceUnavailable
from pierhead.errors import DirectoryDoubtful, SignInUnavailable
from pierhead.metadata import events, sign_ins
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.sign_ins import Known, SignedIn
from pierhead.registry.purging import JOB

_PORTION = 100
_SILENT_AT_ONCE = 5  # people in a row who could not be asked for, after which the directory is left alone
_FEW = 5

log = logging.getLogger(__name__)


class Directory(Protocol):
    @property
    def name(self) -> str: ...

    async def look_up(self, name: str, subject: str) -> Identity | None:
        """Who that is today; None where the directory knows such a person no more. Raises SourceUnavailable."""


class Leavers:
    """`share`: which part of its people a directory may know no more at once, before that is taken for a mistake."""

    def __init__(self, database: Database, directory: Directory, *, share: float) -> None:
        self._database = database
        self._directory = directory
        self._share = share
        self._silent = 0

    async def any(self) -> bool:
        return bool(await self._page(0, 1))

    async def look(self) -> None:
        """One pass over the people of the directory, one after another. Raises SignInUnavailable, DirectoryDoubtful."""
        self._silent, asked, seen, absent, after = 0, 0, 0, 0, 0
        missing: list[Known] = []
        while portion := await self._page(after, _PORTION):
            asked += len(portion)
            for known in portion:
                seen += not known.gone
                if not await self._knows(known):
                    absent += 1
                    missing += [] if known.gone else [known]
            after = portion[-1].id
        if asked and self._silent == asked:
            raise SignInUnavailable(f"{self._directory.name} answered about nobody")
        # Of few people one or two may well leave at once, and all of them hardly.
        doubtful = len(missing) >= _FEW or 1 < absent == asked
        if doubtful and len(missing) > seen * self._share:
            raise DirectoryDoubtful(self._directory.name, len(missing), seen)
        for known in missing:
            await self._suspend(known)

    async def _page(self, after: int, limit: int) -> list[Known]:
        return await self._database.read(partial(sign_ins.page, source=self._directory.name, after=after, limit=limit))

    async def _knows(self, known: Known) -> bool:
        """Brings up to date what is told of somebody; True too where the directory gave no answer about him."""
        try:
            identity = await self._directory.look_up(known.name, known.told.subject)
        except SourceUnavailable as error:
            log.warning("a user could not be looked up", extra={"user": known.name, "reason": str(error)})
            # What is wrong with one entry says nothing of the next.
            self._silent += not isinstance(error.__cause__, DirectoryRefused)
            if self._silent >= _SILENT_AT_ONCE:
                raise SignInUnavailable(str(error)) from error
            return True
        self._silent = 0
        if identity is None:
            return False
        told = replace(known.told, display=identity.display, email=identity.email, groups=identity.groups)
        if known.gone or told != known.told:
            await self._database.write(partial(_renew, known=known, told=told))
        return True

    async def _suspend(self, known: Known) -> None:
        # The pass may have taken long: he may have been found, or come back, since.
        if not await self._knows(known):
            await self._database.write(partial(_suspend, known=known))


async def _renew(tx: Transaction, known: Known, told: SignedIn) -> None:
    if await sign_ins.renew(tx, known.id, told):
        await events.record_change(tx, "user.returned", f"user:{known.name}", JOB)


async def _suspend(tx: Transaction, known: Known) -> None:
    source = known.told.source
    if await sign_ins.suspend(tx, known.id, source=source):
        reason = f"{source} knows no such user any more"
        await events.record_change(tx, "user.suspended", f"user:{known.name}", JOB, reason=reason)
