"""Making whole what a check found: from the copies that the store keeps, or from another registry, by digest.

What cannot be made whole is set aside: it counts as not there, so that the next push of it heals it.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from pierhead.blobs.store import TellsCopies
from pierhead.errors import BlobMissing, MoveFailed, StorageFailed
from pierhead.metadata import blobs as blob_rows
from pierhead.metadata import locks, relations, unreferenced
from pierhead.metadata import manifests as manifest_rows
from pierhead.metadata.database import Transaction
from pierhead.metadata.relations import Holding, Kept, Reference
from pierhead.metadata.unreferenced import Lease
from pierhead.models import Blob, Digest, Doomed, in_row
from pierhead.moving import content
from pierhead.moving.findings import Outcome
from pierhead.moving.side import Side
from pierhead.registry import holding
from pierhead.registry.damage import Damage
from pierhead.registry.faults import is_of

# Copies of blobs beside their rows, and no longer ones, are kept in the store.
_SMALL = 32 * 1024


class Repairs:
    """`source` is where else bytes may be, `copied` whether the store shall keep copies of small blobs."""

    def __init__(self, side: Side, source: Side | None, damage: Damage, *, lease: Lease, copied: bool) -> None:
        self._side = side
        self._source = source
        self._damage = damage
        self._lease = lease
        self._copied = copied

    async def blob(self, blob: Blob, wrong: str) -> Outcome:
        """One whose bytes are wrong, as its row has it now. Raises StorageFailed."""
        if await self._replaced(blob):
            return "repaired"
        if blob.damage is None:
            await self._damage.report(blob, wrong, by="check")
        return "set aside"

    async def sound(self, blob: Blob) -> Outcome:
        await self._damage.clear(blob)
        return "sound after all"

    async def manifest(self, digest: Digest) -> Outcome:
        """One whose row has other bytes, or none."""
        async with aclosing(self._manifests(digest)) as bodies:
            async for body in bodies:
                if is_of(digest, body):
                    await self._keep(digest, body)
                    return "repaired"
        self._damage.manifest(digest, by="check")
        return "set aside"

    async def hold(self, held: Holding) -> Outcome:
        """One of a blob that has no row: whoever needs the blob pushes it again."""

        async def release(tx: Transaction) -> None:
            await tx.lock(locks.blob(held.digest))
            if await blob_rows.stored(tx, held.digest) is None:
                await blob_rows.release(tx, held.repository_id, held.digest)

        await self._side.database.write(release)
        return "repaired"

    async def unlisted(self, held: Holding) -> Outcome:
        """One that nothing needs, and that nobody would ever have looked at again."""

        async def note(tx: Transaction) -> None:
            await tx.lock(locks.blob(held.digest))
            if await blob_rows.stored(tx, held.digest) is not None:
                await unreferenced.note(tx, held.repository_id, held.digest, lease=self._lease)

        await self._side.database.write(note)
        return "repaired"

    async def unheld(self, kept: Kept) -> Outcome:
        """A blob that nobody holds, needs or looks at: it is put on the list of some repository."""

        async def note(tx: Transaction) -> bool:
            await tx.lock(locks.blob(kept.digest))
            repository_id = await relations.any_repository(tx)
            if repository_id is None or await blob_rows.stored(tx, kept.digest) is None:
                return False
            await unreferenced.note(tx, repository_id, kept.digest, lease=self._lease)
            return True

        return "repaired" if await self._side.database.write(note) else "found"

    async def part(self, lacking: Reference) -> Outcome:
        """What a manifest refers to and its repository does not hold."""
        if not lacking.stored and not await self._added(lacking.part):
            return "found"

        async def hold(tx: Transaction) -> bool:
            await tx.lock(locks.blob(lacking.part), locks.repository(lacking.repository, shared=True))
            if await blob_rows.stored(tx, lacking.part) is None:
                return False
            if await relations.needs(tx, lacking.repository_id, lacking.manifest, lacking.part):
                await blob_rows.hold(tx, lacking.repository_id, lacking.part)
            else:
                await unreferenced.note(tx, lacking.repository_id, lacking.part, lease=self._lease)
            return True

        return "repaired" if await self._side.database.write(hold) else "found"

    # Bytes

    async def _replaced(self, blob: Blob) -> bool:
        """Gives a blob other bytes, where some are to be had."""
        if blob.size <= _SMALL and (body := await self._small(blob.digest)) is not None:
            return await self._put(blob, Blob(blob.digest, len(body), in_row(blob.digest)), body)
        brought = None if blob.inline else await self._brought(blob.digest)
        return brought is not None and await self._put(blob, brought, None)

    async def _added(self, digest: Digest) -> bool:
        """Brings a blob that has no row here."""
        brought = await self._brought(digest)
        return brought is not None and await self._put(None, brought, None)

    async def _brought(self, digest: Digest) -> Blob | None:
        """A blob of the other registry under a key of this store; None where it has none that is sound."""
        if self._source is None:
            return None
        found = await self._source.database.read(lambda tx: blob_rows.stored(tx, digest))
        if found is None:
            return None
        try:
            return await content.bring(self._source, self._side, found, lambda _: None)
        except (BlobMissing, MoveFailed):
            return None

    async def _put(self, before: Blob | None, new: Blob, body: bytes | None) -> bool:
        """Points a digest to other bytes, where it still has those that were wrong. What nobody named goes again."""

        async def put(tx: Transaction) -> bool:
            await tx.lock(locks.blob(new.digest), *([locks.key(new.key)] if body is None else []))
            current = await blob_rows.stored(tx, new.digest)
            if (current.key if current else None) != (before.key if before else None):
                return False
            await holding.put(tx, new, body, copied=self._copied)
            return True

        if not await self._side.database.write(put) and body is None:
            await self._side.store.remove([Doomed(new.key, new.digest)])
        return True  # by us, or by whoever pushed it meanwhile

    async def _small(self, digest: Digest) -> bytes | None:
        """The bytes of a small blob, from a copy or from the other registry."""
        async with aclosing(self._bodies("blobs", digest)) as copies:
            async for body in copies:
                if is_of(digest, body):
                    return body
        if self._source is None:
            return None
        found = await self._source.database.read(lambda tx: blob_rows.stored(tx, digest))
        if found is None:
            return None
        try:
            body = await content.whole(self._source, found)
        except (BlobMissing, MoveFailed, StorageFailed):
            return None
        return body if is_of(digest, body) else None

    async def _manifests(self, digest: Digest) -> AsyncGenerator[bytes, None]:
        async for body in self._bodies("manifests", digest):
            yield body
        if self._source is not None:
            body_there = await self._source.database.read(lambda tx: manifest_rows.content(tx, digest))
            if body_there is not None:
                yield body_there

    async def _bodies(self, folder: str, digest: Digest) -> AsyncGenerator[bytes, None]:
        """What the store has kept a copy of."""
        store = self._side.store
        if isinstance(store, TellsCopies):
            try:
                yield await store.copy(f"{folder}/{digest.algorithm}/{digest.hex}")
            except BlobMissing:
                return

    async def _keep(self, digest: Digest, body: bytes) -> None:
        async def keep(tx: Transaction) -> None:
            await tx.lock(locks.manifest(digest))
            if await relations.is_manifest(tx, digest):
                await manifest_rows.keep_content(tx, digest, body)

        await self._side.database.write(keep)
