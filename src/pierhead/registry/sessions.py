"""A session's row in the hands of one request: what it writes there, and its right to do so.

A store with locks of its own lets one request write at a time. For any other store the row is the lock: a request
claims it, which begins an epoch, and every later write of the row asks for that epoch. The claim ends with the write
that accepts the bytes. One whose process died ends when it has been silent for `takeover_seconds`.
A session that has no row yet needs no claim: of several that believe to be the first, one can insert it.
"""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import NoReturn

from pierhead.blobs.store import Accepted
from pierhead.errors import UploadBusy, UploadOutOfOrder, UploadUnknown
from pierhead.metadata import uploads as rows
from pierhead.metadata.database import Database
from pierhead.models import Part, RepositoryName, Upload

Find = Callable[[RepositoryName, str], Awaitable[Upload]]


class Session:
    """The `Ledger` of one request. `upload` is the row as it was last seen or written."""

    def __init__(self, database: Database, upload: Upload, find: Find) -> None:
        self._database = database
        self._find = find
        self.upload = upload

    async def refresh(self) -> Upload:
        self.upload = await self._find(self.upload.repository, self.upload.id)
        return self.upload

    async def note(self, notes: str) -> None:
        await self._advance(replace(self.upload, notes=notes))

    async def parts(self) -> list[Part]:
        return await self._database.read(lambda tx: rows.parts(tx, self.upload))

    async def show_life(self) -> None:
        await self._advance(self.upload)

    async def keep(self, accepted: Accepted) -> None:
        """Raises UploadUnknown, UploadOutOfOrder, as all of these do."""
        upload = replace(
            self.upload, offset=accepted.offset, state=accepted.state, boot=accepted.boot, notes=accepted.notes
        )
        await self._advance(upload, accepted.parts, ends=True)

    def end(self) -> None:
        """The row was told that there is no session any more."""
        self.upload = replace(self.upload, writer=None)

    @asynccontextmanager
    async def claimed(self, silence: int) -> AsyncIterator[None]:
        """Raises UploadBusy while another request writes that was not silent for so many microseconds."""
        upload = self.upload = replace(self.upload, writer=secrets.token_hex(8))
        if upload.saved:
            if not await self._database.write(lambda tx: rows.claim(tx, upload, silence=silence), durable=False):
                raise UploadBusy(upload.id, upload.offset)
            self.upload = replace(upload, epoch=upload.epoch + 1, idle=0)
        try:
            yield
        finally:
            if self.upload.writer and self.upload.saved:
                await self._database.write(lambda tx: rows.unclaim(tx, self.upload), durable=False)

    async def _advance(self, upload: Upload, parts: tuple[Part, ...] = (), *, ends: bool = False) -> None:
        if not await self._database.write(lambda tx: rows.advance(tx, upload, parts, ends=ends), durable=False):
            await self._refuse(upload)
        self.upload = replace(upload, saved=True, writer=None if ends else upload.writer)

    async def _refuse(self, upload: Upload) -> NoReturn:
        """Raises UploadUnknown, or UploadOutOfOrder where another request gave the session its row meanwhile."""
        if not upload.saved:
            current = await self._find(upload.repository, upload.id)
            raise UploadOutOfOrder(upload.id, current.offset)
        raise UploadUnknown(upload.id)
