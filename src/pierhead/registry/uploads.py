"""Upload sessions: from the first byte to a blob that a repository holds.

Rules
- A session's row says how many bytes were accepted; what is staged beyond them is discarded.
- One request at a time writes. Another one is told where the session stands (UploadBusy),
  and takes it over once the writer has been silent for `takeover_seconds`.
- Bytes are durable before the row that names them, and that row before anyone is told.
"""

import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from pierhead.blobs.store import Appender, BlobStore, Locks
from pierhead.errors import (
    BlobTooLarge,
    DigestMismatch,
    PierheadError,
    UploadBusy,
    UploadOutOfOrder,
    UploadUnknown,
)
from pierhead.metadata import blobs as blob_rows
from pierhead.metadata import locks
from pierhead.metadata import uploads as rows
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.secrets import shared
from pierhead.metadata.unreferenced import Lease
from pierhead.models import Actor, Blob, Digest, RepositoryName, Upload, in_row
from pierhead.registry import holding
from pierhead.registry.clock import Clock
from pierhead.registry.marks import Marks
from pierhead.registry.receiving import HEARTBEAT_SECONDS, Receiving
from pierhead.registry.sessions import Session
from pierhead.registry.tickets import Tickets
from pierhead.settings import UploadSettings

_SWEEP_AT_ONCE = 100
_CANCEL_TRIES = 3
_HOUR = 3_600_000_000  # microseconds
# By so much two looks at the database's clock may differ.
_CLOCK_ERROR = 60_000_000


class Uploads:
    def __init__(
        self,
        database: Database,
        store: BlobStore,
        marks: Marks,
        settings: UploadSettings,
        *,
        clock: Clock | None = None,
        inline: int = 0,
        copied: bool = False,
    ) -> None:
        self._database = database
        self._marks = marks
        self._store = store
        self._settings = settings
        self._lease = Lease(settings.lease_seconds)
        self._inline = inline  # bytes; blobs up to here are kept beside their rows
        self._copied = copied  # whether the store keeps copies of these
        self._clock = clock or Clock(database)
        self._tickets: Tickets | None = None

    async def start(self, repository: RepositoryName, *, algorithm: str = "sha256") -> Upload:
        """Begins a session. It has no row before its first bytes have come."""
        return (await self._known_tickets()).new(repository, algorithm)

    async def find(self, repository: RepositoryName, upload_id: str) -> Upload:
        """A session, finished ones too. Raises UploadUnknown, for one of another repository as well.

        One of an earlier boot is read again first: a power cut may have taken bytes that its row counts.
        """
        upload = await self._row(repository, upload_id)
        if upload.digest is None and upload.offset and upload.boot != self._store.boot:
            return await self._verified(upload)
        return upload

    def takes_whole(self, size: int | None) -> bool:
        """Whether `push` takes a blob of that size."""
        return size is not None and 0 < size <= self._inline

    async def push(self, upload: Upload, digest: Digest, content: bytes, *, actor: Actor, told: bool = True) -> None:
        """A small blob in one step, for a session that has no bytes; `told` as with `receive`.

        On return it survives power loss. Raises DigestMismatch, BlobTooLarge, UploadUnknown.
        """
        limit = self._settings.max_size
        if limit and len(content) > limit:
            raise BlobTooLarge(f"at most {limit} bytes")
        actual = f"{digest.algorithm}:{hashlib.new(digest.algorithm, content).hexdigest()}"
        if actual != digest:
            if told:  # by its one writer: where another request writes, this one is told so
                async with self.receive(upload.repository, upload.id) as receiving:
                    await receiving.drop()
            raise DigestMismatch(f"{digest} was given, the content has {actual}")
        known = await self._database.read(lambda tx: blob_rows.stored(tx, digest))
        sound = known is not None and await holding.is_sound(self._store, known)

        async def write(tx: Transaction) -> None:
            await tx.lock(locks.blob(digest))
            current = await blob_rows.stored(tx, digest)
            if current is None or current.damage is not None or (current == known and not sound):
                await holding.put(tx, Blob(digest, len(content), in_row(digest)), content, copied=self._copied)
            await holding.hold(tx, upload.repository, digest, actor, lease=self._lease)
            if told:
                await holding.finish(tx, upload, digest)

        await self._database.write(write)

    @asynccontextmanager
    async def receive(
        self, repository: RepositoryName, upload_id: str, *, start: int | None = None, told: bool = True
    ) -> AsyncIterator[Receiving]:
        """Opens a session for writing; `start` is where the client thinks that it stands, `told` whether it has the id.

        Raises UploadUnknown, UploadBusy, UploadOutOfOrder.
        """
        session = Session(self._database, await self._open(repository, upload_id), self._open)
        async with self._writing(session) as appender:
            if start is not None and start != appender.offset:
                raise UploadOutOfOrder(upload_id, appender.offset)
            receiving = self._receiving(session, appender, told=told)
            if session.upload.idle > HEARTBEAT_SECONDS * 1_000_000:
                await receiving.show_life()
            yield receiving

    @asynccontextmanager
    async def _writing(self, session: Session) -> AsyncIterator[Appender]:
        """The session's only writer. Raises UploadUnknown, UploadBusy."""
        async with AsyncExitStack() as stack:
            if isinstance(self._store, Locks):
                try:
                    appender = await stack.enter_async_context(self._store.append(session.upload, session))
                except UploadBusy:
                    session.upload = await self._take_over(self._store, session.upload)
                    appender = await stack.enter_async_context(self._store.append(session.upload, session))
            else:
                await stack.enter_async_context(session.claimed(self._takeover))
                appender = await stack.enter_async_context(self._store.append(session.upload, session))
            yield appender

    @property
    def _takeover(self) -> int:
        """Microseconds."""
        return int(self._settings.takeover_seconds * 1_000_000)

    def _receiving(self, session: Session, appender: Appender, *, told: bool = True) -> Receiving:
        return Receiving(
            session,
            appender,
            database=self._database,
            store=self._store,
            marks=self._marks,
            settings=self._settings,
            inline=self._inline,
            copied=self._copied,
            told=told,
        )

    async def cancel(self, repository: RepositoryName, upload_id: str) -> None:
        """Raises UploadUnknown."""
        for _ in range(_CANCEL_TRIES):
            upload = await self._open(repository, upload_id)
            if await self._database.write(partial(rows.cancel, upload=upload)):
                await self._store.discard(upload)
                return
        raise UploadBusy(upload_id, upload.offset)

    async def any_expired(self) -> bool:
        return await self._database.read(partial(rows.any_expired, kept=self._kept()))

    async def sweep(self) -> int:
        """Forgets some of the sessions that expired, and returns how many. Harmless at once with others.

        One whose bytes cannot be removed holds up no other: what its removal raised is raised at the end.
        """
        kept = self._kept()
        discarded: list[Upload] = []
        failures: list[PierheadError] = []

        async def retire(tx: Transaction) -> list[Upload]:
            await tx.lock(locks.sweep())
            return await rows.retire(tx, kept, limit=_SWEEP_AT_ONCE)

        async def forget(tx: Transaction) -> None:
            await tx.lock(locks.sweep())
            for upload in discarded:
                await rows.forget(tx, upload)

        # Theirs no more before their bytes go: whoever comes back, also after a power cut, is told 404 and not 201.
        retired = await self._database.write(retire)
        for upload in retired:
            try:
                await self._store.discard(upload)
                discarded.append(upload)
            except PierheadError as failure:
                failures.append(failure)
        await self._database.write(forget, durable=False)
        if failures:
            raise failures[0]
        return len(retired)

    def _kept(self) -> rows.Kept:
        settings = self._settings
        return rows.Kept(idle=int(settings.idle_expiry_hours * _HOUR), finished=int(settings.finished_hours * _HOUR))

    async def orphans(self) -> list[str]:
        """Some sessions that never got a row, since their process died, and for which something is staged."""
        await self._clock.look_now_and_then()
        abandoned = await self._store.abandoned(self._oldest_ticket() - _HOUR)
        return [one for one in abandoned if await self._database.read(partial(rows.find, upload_id=one)) is None]

    async def discard(self, orphans: list[str]) -> None:
        for upload_id in orphans:
            nobody = Upload(id=upload_id, repository=RepositoryName(), algorithm="", offset=0, epoch=0)
            await self._store.discard(nobody)

    async def _verified(self, upload: Upload) -> Upload:
        """The session after a look at its bytes. Raises UploadUnknown where they are not those accepted."""
        session = Session(self._database, upload, self._open)
        try:
            async with self._store.append(upload, session) as appender:
                return await self._receiving(session, appender).accept()
        except UploadBusy:  # its writer looked
            return await self._open(upload.repository, upload.id)

    async def _take_over(self, store: Locks, upload: Upload) -> Upload:
        """The session in its next epoch. Raises UploadBusy while its writer may be alive, or is replaced already."""
        upload = await self._open(upload.repository, upload.id)
        if upload.idle < self._takeover:
            raise UploadBusy(upload.id, upload.offset)
        await store.take_over(upload)
        if not await self._database.write(lambda tx: rows.next_epoch(tx, upload), durable=False):
            raise UploadBusy(upload.id, upload.offset)
        return await self._open(upload.repository, upload.id)

    async def _open(self, repository: RepositoryName, upload_id: str) -> Upload:
        upload = await self._row(repository, upload_id)
        if upload.digest is not None:
            raise UploadUnknown(upload_id)
        return upload

    async def _row(self, repository: RepositoryName, upload_id: str) -> Upload:
        upload = await self._database.read(lambda tx: rows.find(tx, upload_id))
        if upload is None:
            upload = (await self._known_tickets()).read(upload_id, repository, since=self._oldest_ticket())
        if upload is None or upload.repository != repository or upload.cancelled:
            raise UploadUnknown(upload_id)
        return upload

    async def _known_tickets(self) -> Tickets:
        await self._clock.look_now_and_then()
        if self._tickets is None:
            self._tickets = Tickets(await shared(self._database, "upload sessions"), self._clock)
        return self._tickets

    def _oldest_ticket(self) -> int:
        """No row, not even that of a session that ended, goes while its ticket still counts."""
        hours = min(self._settings.idle_expiry_hours, self._settings.finished_hours)
        return self._clock.now() - int(hours * _HOUR) + _CLOCK_ERROR
