"""Bytes in a store that no row names: telling them from those of a push under way, and removing them.

No age tells that nobody is going to name a key: a push writes bytes first and their row later, and may stand still
between the two for as long as it likes. So what is removed is first made a key that nobody may name any more, in a
transaction that sees that nothing names it. A push that comes too late is refused, and its client begins anew.
"""

from functools import partial

from pierhead.blobs.store import BlobStore, Kept
from pierhead.metadata import clock, copying, holds, locks
from pierhead.metadata import orphans as rows
from pierhead.metadata.database import Database, Transaction
from pierhead.models import Digest, Doomed
from pierhead.moving.findings import Orphan

# A younger one may belong to a push whose row is on its way.
TOLD_SECONDS = 3600
# Whoever is refused for such a one has to begin anew: it should be rare.
REMOVED_SECONDS = 24 * 3600
_SECOND = 1_000_000  # microseconds


async def find(database: Database, kept: list[Kept], *, seconds: int) -> list[Orphan]:
    """Those of a list that are older and that no row names. The list was made before this is asked."""
    now = await database.read(clock.read)
    return [
        Orphan(one.key, one.size, (now - one.changed_at) // _SECOND, one.digest)
        for one in kept
        if one.changed_at < now - seconds * _SECOND and not await database.read(partial(copying.is_named, key=one.key))
    ]


async def remove(database: Database, store: BlobStore, key: str, digest: Digest | None = None) -> bool:
    """Removes bytes that nothing names; False where something does after all, or somebody copies the registry."""

    async def doom(tx: Transaction) -> bool:
        await tx.lock(locks.key(key))
        if await holds.held(tx) or await copying.is_named(tx, key):
            return False
        await rows.remove(tx, key, digest)
        return True

    if not await database.write(doom):
        return False
    await store.remove([Doomed(key, digest)])
    await database.write(partial(rows.forget, key=key), durable=False)
    return True
