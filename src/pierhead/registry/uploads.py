"""Upload sessions: from the first byte to a blob that a repository holds.

Rules
- A session's row says how many bytes were accepted; what is staged beyond them is discarded.
- One request at a time writes. Another one is told where the session stands (UploadBusy),
  and takes it over once the writer has been silent for `takeover_seconds`.
- Bytes are durable before the row that names them, and that row before anyone is told.
"""

import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from pierhead.blobs.store import Appender, BlobStore, Locks
from pierhead.errors import (
    BlobMissing,
    BlobTooLarge,
    Busy,
    DigestMismatch,
    PierheadError,
    UploadBusy,
    UploadOutOfOrder,
    UploadUnknown,
)
from pierhead.metadata import blobs as blob_rows
from pierhead.metadata import copies, events, locks, repositories
from pierhead.metadata import uploads as rows
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.secrets import shared
from pierhead.models import Actor, Blob, Digest, RepositoryName, Upload, in_row
from pierhead.registry.clock import Clock
from pierhead.registry.marks import Marks
from pierhead.registry.sessions import Session
from pierhead.registry.tickets import Tickets
from pierhead.settings import UploadSettings

# A writer tells that it is alive this often.
_HEARTBEAT_SECONDS = 5.0
_SWEEP_AT_ONCE = 100
_FINISH_TRIES = 3
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
        inline: int = 0,
        copied: bool = False,
    ) -> None:
        self._database = database
        self._marks = marks
        self._store = store
        self._settings = settings
        self._inline = inline  # bytes; blobs up to here are kept beside their rows
        self._copied = copied  # whether the store keeps copies of these
        self._clock = Clock(database)
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
        sound = known is not None and await is_sound(self._store, known)

        async def write(tx: Transaction) -> None:
            await tx.lock(locks.blob(digest))
            current = await blob_rows.stored(tx, digest)
            if current is None or (current == known and not sound):
                await _put(tx, Blob(digest, len(content), in_row(digest)), content, copied=self._copied)
            await _hold(tx, upload.repository, digest, actor)
            if told:
                await _finish(tx, upload, digest)

        await self._database.write(write)

    @asynccontextmanager
    async def receive(
        self, repository: RepositoryName, upload_id: str, *, start: int | None = None, told: bool = True
    ) -> "AsyncIterator[Receiving]":
        """Opens a session for writing; `start` is where the client thinks that it stands, `told` whether it has the id.

        Raises UploadUnknown, UploadBusy, UploadOutOfOrder.
        """
        session = Session(self._database, await self._open(repository, upload_id), self._open)
        async with self._writing(session) as appender:
            if start is not None and start != appender.offset:
                raise UploadOutOfOrder(upload_id, appender.offset)
            receiving = self._receiving(session, appender, told=told)
            if session.upload.idle > _HEARTBEAT_SECONDS * 1_000_000:
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

    def _receiving(self, session: Session, appender: Appender, *, told: bool = True) -> "Receiving":
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
        """Forgets some of the sessions that expired, and returns how many. Harmless at once with others."""
        kept = self._kept()

        async def retire(tx: Transaction) -> list[Upload]:
            await tx.lock(locks.sweep())
            return await rows.retire(tx, kept, limit=_SWEEP_AT_ONCE)

        async def forget(tx: Transaction) -> None:
            await tx.lock(locks.sweep())
            for upload in retired:
                await rows.forget(tx, upload)

        # Theirs no more before their bytes go: whoever comes back, also after a power cut, is told 404 and not 201.
        retired = await self._database.write(retire)
        for upload in retired:
            await self._store.discard(upload)
        await self._database.write(forget, durable=False)
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


class Receiving:
    """A session that this request alone writes to."""

    def __init__(
        self,
        session: Session,
        appender: Appender,
        *,
        database: Database,
        store: BlobStore,
        marks: Marks,
        settings: UploadSettings,
        inline: int,
        copied: bool,
        told: bool,
    ) -> None:
        self._database = database
        self._store = store
        self._marks = marks
        self._settings = settings
        self._session = session
        self._appender = appender
        self._inline = inline
        self._copied = copied
        self._told = told
        self._alive_at = time.monotonic()
        self._kept: str | None = None  # the key that the digest has now

    @property
    def offset(self) -> int:
        return self._appender.offset

    async def write(self, data: bytes) -> None:
        """Raises BlobTooLarge, UploadUnknown where the session was taken over or cancelled."""
        limit = self._settings.max_size
        if limit and self._appender.offset + len(data) > limit:
            raise BlobTooLarge(f"at most {limit} bytes")
        await self._appender.write(data)
        if time.monotonic() - self._alive_at > _HEARTBEAT_SECONDS:
            await self.show_life()

    async def show_life(self) -> None:
        """Tells those who may wait to take the session over. Raises UploadUnknown where one did."""
        self._alive_at = time.monotonic()
        await self._session.show_life()

    async def accept(self) -> Upload:
        """Keeps what was written, and writes no more. On return it survives the death of every process."""
        await self._session.keep(await self._appender.flush())
        return self._session.upload

    async def finish(self, digest: Digest, *, actor: Actor) -> None:
        """Makes the session a blob that its repository holds. On return that survives power loss.

        Raises DigestMismatch, after which the session is gone.
        """
        actual = await self._appender.digest(digest.algorithm)
        if actual != digest:
            await self.drop()
            raise DigestMismatch(f"{digest} was given, the content has {actual}")
        for _ in range(_FINISH_TRIES):
            if await self._hold(digest, actor):
                break
        else:
            raise Busy(f"{digest} is being removed")
        self._session.end()
        await self._store.discard(replace(self._session.upload, digest=digest), kept=self._kept)

    async def _hold(self, digest: Digest, actor: Actor) -> bool:
        """Lets the repository hold the content; False where bytes that it counted on went meanwhile."""
        known = await self._database.read(lambda tx: blob_rows.stored(tx, digest))
        new = _Stored(digest, self._appender.offset, known)
        if known is None or not await is_sound(self._store, known):
            if self._appender.offset <= self._inline:
                new = replace(new, key=in_row(digest), content=await self._appender.content())
            else:
                new = replace(new, key=await self._appender.commit(digest))
        try:
            self._kept = await self._database.write(lambda tx: self._write_rows(tx, new, actor))
        except PierheadError:
            await self._withdraw_unused(new)
            raise
        if self._kept != new.key:
            await self._appender.withdraw()
        elif new.key is not None and new.content is None:
            self._marks.make(digest, new.key)
        return self._kept is not None

    async def _write_rows(self, tx: Transaction, new: "_Stored", actor: Actor) -> str | None:
        """The key that the digest has now; None where there is neither a row nor a new key."""
        await tx.lock(locks.blob(new.digest))
        current = await blob_rows.stored(tx, new.digest)
        if current is None and new.key is None:
            return None
        if new.key is not None and (current is None or current == new.known):
            await _put(tx, Blob(new.digest, new.size, new.key), new.content, copied=self._copied)
            if new.content is None:
                await self._marks.owe(tx, new.digest, new.key)
        await _hold(tx, self._session.upload.repository, new.digest, actor)
        await _finish(tx, self._session.upload, new.digest)
        kept = await blob_rows.stored(tx, new.digest)
        return kept.key if kept else None

    async def _withdraw_unused(self, new: "_Stored") -> None:
        """After a write that failed: it may be committed all the same, so the row is asked once that is decided."""

        async def look(tx: Transaction) -> Blob | None:
            await tx.lock(locks.blob(new.digest))
            return await blob_rows.stored(tx, new.digest)

        kept = await self._database.write(look, durable=False)
        if kept is None or kept.key != new.key:
            await self._appender.withdraw()

    async def drop(self) -> None:
        """Forgets the session and its bytes, unless it was taken over."""
        upload = self._session.upload
        # An id that nobody was told needs no row to say that it is gone.
        unknown = not (self._told or upload.saved)
        if unknown or await self._database.write(partial(rows.cancel, upload=upload)):
            self._session.end()
            await self._store.discard(upload)  # else the bytes are its successor's, who also clears away ours


@dataclass(frozen=True, slots=True)
class _Stored:
    """Where the bytes of a finished upload are."""

    digest: Digest
    size: int
    known: Blob | None  # what the digest had before
    key: str | None = None  # None where that is sound
    content: bytes | None = None  # for the row


async def _put(tx: Transaction, blob: Blob, content: bytes | None, *, copied: bool) -> None:
    await blob_rows.put(tx, blob, content=content)
    if copied and content is not None:
        await copies.owe(tx, "blob", blob.digest)


async def _hold(tx: Transaction, repository: RepositoryName, digest: Digest, actor: Actor) -> None:
    repository_id = await repositories.ensure(tx, repository)
    if await blob_rows.hold(tx, repository_id, digest):
        await events.record(tx, "blob.pushed", repository_id, actor, after=digest)


async def _finish(tx: Transaction, upload: Upload, digest: Digest) -> None:
    """Ends a session with what it became; harmless where it became that already.

    Raises UploadUnknown, and UploadOutOfOrder where another request had bytes accepted meanwhile.
    """
    if await rows.finish(tx, upload, digest):
        return
    current = await rows.find(tx, upload.id)
    if current is not None and current.digest == digest:
        return
    if current is not None and current.digest is None and current.epoch == upload.epoch:
        raise UploadOutOfOrder(upload.id, current.offset)
    raise UploadUnknown(upload.id)


async def is_sound(store: BlobStore, blob: Blob) -> bool:
    """Whether bytes of the right length are under the key. They were synced before the row was."""
    if blob.inline:
        return True
    try:
        reader = await store.open(blob.key)
    except BlobMissing:
        return False
    reader.close()
    return reader.size == blob.size
