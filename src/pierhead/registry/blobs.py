"""Blobs: pulling, mounting and deleting them. Pushing one is an upload."""

from collections.abc import Callable

from pierhead.blobs.store import BlobStore, Reader, SignsUrls
from pierhead.errors import BlobMissing, BlobUnknown, RepositoryUnknown
from pierhead.metadata import blobs as rows
from pierhead.metadata import events, locks, repositories, rights, unreferenced
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.unreferenced import Lease
from pierhead.models import Actor, Blob, Digest, Place, RepositoryName
from pierhead.registry import faults, holding
from pierhead.registry.clock import Clock
from pierhead.registry.contents import Contents
from pierhead.registry.damage import By, Damage
from pierhead.registry.deleting import Deleting
from pierhead.registry.stale import Stale

# How many holders of a blob are looked at for one that the caller may pull from.
_SOURCES_MAX = 100


class _Wrong(BlobMissing):
    __doc__ = BlobMissing.__doc__  # it reads the same

    def __init__(self, digest: Digest, what: str) -> None:
        super().__init__(digest)
        self.what = what


class Blobs:
    def __init__(
        self,
        database: Database,
        store: BlobStore,
        contents: Contents,
        stale: Stale | None = None,
        *,
        clock: Clock,
        deleting: Deleting,
        lease: Lease,
        damage: Damage,
    ) -> None:
        self._damage = damage
        self._database = database
        self._clock = clock
        self._deleting = deleting
        self._lease = lease
        self._recall = (stale or database).recall
        self._store = store
        self._contents = contents

    async def find(self, repository: RepositoryName, digest: Digest) -> Blob:
        """Raises BlobUnknown."""
        found = await self._recall(("blob", repository, digest), lambda tx: rows.held(tx, repository, digest))
        if found is None:
            raise BlobUnknown(digest)
        return found

    async def lease(self, repository: RepositoryName, digest: Digest) -> None:
        """Lets a client that was told of a blob count on it until it pushes the manifest that names it.

        A blob that is referenced needs no lease, and one that is leased for long enough is not written.
        Raises BlobUnknown where it went meanwhile.
        """
        until = await self._database.recall(("lease", repository, digest), lambda tx: _leased(tx, repository, digest))
        if until is None:
            return
        await self._clock.look_now_and_then()
        if until - self._clock.now() >= self._lease.promised:
            return

        async def renew(tx: Transaction) -> None:
            await tx.lock(locks.blob(digest, shared=True))
            repository_id = await repositories.identify(tx, repository)
            if repository_id is None or await rows.held(tx, repository, digest) is None:
                raise BlobUnknown(digest)
            await unreferenced.renew(tx, repository_id, digest, lease=self._lease)

        await self._database.write(renew)

    async def require_bytes(self, repository: RepositoryName, blob: Blob) -> None:
        """For a client that pushes nothing where it hears that a blob is there. Raises BlobUnknown, BlobMissing."""
        if not blob.inline:
            (await self.open(repository, blob, by="push")).close()

    async def content(self, repository: RepositoryName, blob: Blob) -> bytes | None:
        """All bytes of a small blob; None where it is too large to be kept in memory.

        Raises BlobUnknown where it went since it was found, BlobMissing where its bytes are gone or others.
        """
        if blob.size > self._contents.item_max:
            return None
        kept = self._contents.get(blob.key)
        if kept is not None:
            return kept
        try:
            return await self._content(blob)
        except _Wrong as wrong:
            return await self._content(await self._found_again(repository, blob, wrong, by="pull"))

    async def _content(self, blob: Blob) -> bytes:
        if blob.inline:
            content = await self._database.read(lambda tx: rows.content(tx, blob.digest))
            if content is None:
                raise _Wrong(blob.digest, faults.MISSING)
        else:
            reader = await self._open(blob)
            try:
                # One read may bring less than was asked for, and what is kept here is served for ever.
                content = b"".join([bytes(chunk) async for chunk in reader.chunks(0, blob.size)])
            finally:
                reader.close()
        if not faults.is_of(blob.digest, content):
            raise _Wrong(blob.digest, faults.ALTERED)
        self._contents.keep(blob.key, content)
        return content

    async def address(self, blob: Blob, *, seconds: int) -> str | None:
        """Where a client gets the bytes itself, for so long; None where it cannot, or they are soon sent.

        Who follows it after the blob is gone is told so by the store.
        """
        if blob.size <= self._contents.item_max or not isinstance(self._store, SignsUrls):
            return None
        headers = {"content-type": "application/octet-stream", "cache-control": f"private, max-age={seconds}"}
        return await self._store.sign(blob.key, seconds=seconds, headers=headers)

    async def open(self, repository: RepositoryName, blob: Blob, *, by: By = "pull") -> Reader:
        """Raises BlobUnknown where it went since it was found, BlobMissing where its bytes are gone or cut short."""
        try:
            return await self._open(blob)
        except _Wrong as wrong:
            return await self._open(await self._found_again(repository, blob, wrong, by=by))

    async def _found_again(self, repository: RepositoryName, blob: Blob, wrong: "_Wrong", *, by: By) -> Blob:
        """The blob under the key that its row has now. Where that is the same, it is damaged: told, and BlobMissing."""
        found = await self._database.read(lambda tx: rows.held(tx, repository, blob.digest))
        if found is None:
            raise BlobUnknown(blob.digest)
        if found.key == blob.key:
            await self._damage.report(found, wrong.what, by=by)
            raise wrong
        return found

    async def _open(self, blob: Blob) -> Reader:
        try:
            reader = await self._store.open(blob.key)
        except BlobMissing as error:
            raise _Wrong(blob.digest, faults.MISSING) from error
        if reader.size != blob.size:
            reader.close()
            raise _Wrong(blob.digest, faults.cut(reader.size, blob.size))
        return reader

    async def mount(
        self,
        repository: RepositoryName,
        digest: Digest,
        *,
        source: RepositoryName | None,
        may_pull: Callable[[Place], bool],
        actor: Actor,
    ) -> bool:
        """Lets a repository hold a blob of another one; False where the caller can pull it from none.

        That is so of a blob whose bytes are gone, too: the client then pushes them.
        """

        async def may_be_pulled(tx: Transaction) -> bool:
            sources = [source] if source else await rows.holders(tx, digest, limit=_SOURCES_MAX)
            for candidate in sources:
                place = await rights.place(tx, candidate)
                if may_pull(place) and await rows.held(tx, place.name, digest):
                    return True
            return False

        # First, so that how long a refusal takes does not tell whether the blob is here at all.
        if not await self._database.read(may_be_pulled):
            return False
        known = await self._database.read(lambda tx: rows.stored(tx, digest))
        if known is None or not await holding.is_sound(self._store, known):
            return False

        async def mount(tx: Transaction) -> bool:
            await tx.lock(locks.blob(digest, shared=True))
            if not await may_be_pulled(tx):
                return False
            await holding.hold(tx, repository, digest, actor, action="blob.mounted", lease=self._lease)
            return True

        return await self._database.write(mount)

    async def delete(self, repository: RepositoryName, digest: Digest, *, actor: Actor) -> None:
        """Lets the repository hold a blob no more. What the trash needs keeps its bytes, and comes back with it.

        Raises RepositoryUnknown, BlobUnknown, StillNeeded where a manifest of the repository needs it, Pinned.
        """

        async def delete(tx: Transaction) -> None:
            await tx.lock(locks.blob(digest, shared=True), locks.repository(repository))
            repository_id = await repositories.identify(tx, repository)
            if repository_id is None:
                raise RepositoryUnknown(repository)
            if not await rows.release(tx, repository_id, digest):  # a damaged one too, which is held all the same
                raise BlobUnknown(digest)
            await self._deleting.require_unneeded(tx, repository_id, digest)
            await unreferenced.note(tx, repository_id, digest, lease=self._lease)
            await events.record(tx, "blob.deleted", repository_id, actor, before=digest)

        await self._database.write(delete)


async def _leased(tx: Transaction, repository: RepositoryName, digest: Digest) -> int | None:
    """Until when a blob is leased that no manifest needs; None where it needs no lease. Raises BlobUnknown."""
    repository_id = await repositories.identify(tx, repository)
    if repository_id is None or await rows.held(tx, repository, digest) is None:  # it went since it was found
        raise BlobUnknown(digest)
    until = await unreferenced.leased_until(tx, repository_id, digest)
    if until is None or await unreferenced.is_referenced(tx, repository_id, digest):
        return None
    return until
