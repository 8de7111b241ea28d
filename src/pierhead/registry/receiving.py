"""The request that writes to an upload session, from its first byte to a blob that a repository holds."""

import time
from dataclasses import dataclass, replace
from functools import partial

from pierhead.blobs.store import Appender, BlobStore
from pierhead.errors import BlobTooLarge, Busy, DigestMismatch, PierheadError
from pierhead.metadata import blobs as blob_rows
from pierhead.metadata import locks
from pierhead.metadata import uploads as rows
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.unreferenced import Lease
from pierhead.models import Actor, Blob, Digest, Upload, in_row
from pierhead.registry import holding
from pierhead.registry.marks import Marks
from pierhead.registry.sessions import Session
from pierhead.settings import UploadSettings

# A writer tells that it is alive this often.
HEARTBEAT_SECONDS = 5.0
_FINISH_TRIES = 3


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
        self._lease = Lease(settings.lease_seconds)
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
        if time.monotonic() - self._alive_at > HEARTBEAT_SECONDS:
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
        if known is None or not await holding.is_sound(self._store, known):
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
        """The key that the digest has now; None where there are neither sound bytes nor a new key."""
        keys = [locks.key(new.key)] if new.key is not None and new.content is None else []
        await tx.lock(locks.blob(new.digest), *keys)
        current = await blob_rows.stored(tx, new.digest)
        useless = current is None or current.damage is not None
        if useless and new.key is None:
            return None
        if new.key is not None and (useless or current == new.known):
            await holding.put(tx, Blob(new.digest, new.size, new.key), new.content, copied=self._copied)
            if new.content is None:
                await self._marks.owe(tx, new.digest, new.key)
        await holding.hold(tx, self._session.upload.repository, new.digest, actor, lease=self._lease)
        await holding.finish(tx, self._session.upload, new.digest)
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
