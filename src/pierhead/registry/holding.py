"""What a finished upload changes: the blob's bytes, who holds it, and what its session became."""

from typing import Literal

from pierhead.blobs.store import BlobStore
from pierhead.errors import BlobMissing, KeyRemoved, UploadOutOfOrder, UploadUnknown
from pierhead.metadata import blobs as blob_rows
from pierhead.metadata import copies, events, orphans, repositories, unreferenced
from pierhead.metadata import uploads as rows
from pierhead.metadata.database import Transaction
from pierhead.metadata.unreferenced import Lease
from pierhead.models import Actor, Blob, Digest, RepositoryName, Upload


async def put(tx: Transaction, blob: Blob, content: bytes | None, *, copied: bool) -> None:
    """Gives a blob its bytes. The blob is locked, and so is a key in the store.

    Raises KeyRemoved where whoever removes orphans was first: what is under such a key is gone, or soon will be.
    """
    if content is None and await orphans.is_removed(tx, blob.key):
        raise KeyRemoved(blob.key)
    await blob_rows.put(tx, blob, content=content)
    if copied and content is not None:
        await copies.owe(tx, "blob", blob.digest)


async def hold(
    tx: Transaction,
    repository: RepositoryName,
    digest: Digest,
    actor: Actor,
    *,
    action: Literal["blob.pushed", "blob.mounted"] = "blob.pushed",
    lease: Lease,
) -> None:
    """Lets a repository hold a blob, at least until the end of a lease. The blob is locked."""
    repository_id = await repositories.ensure(tx, repository, actor)
    if await blob_rows.hold(tx, repository_id, digest):
        await unreferenced.note(tx, repository_id, digest, lease=lease)
        await events.record(tx, action, repository_id, actor, after=digest)
    else:
        await unreferenced.renew(tx, repository_id, digest, lease=lease)


async def finish(tx: Transaction, upload: Upload, digest: Digest) -> None:
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
    """Whether bytes of the right length are under the key, and nobody found them wrong. They were synced first."""
    if blob.damage is not None:
        return False
    if blob.inline:
        return True
    try:
        reader = await store.open(blob.key)
    except BlobMissing:
        return False
    reader.close()
    return reader.size == blob.size
