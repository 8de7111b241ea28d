"""Rows of upload sessions."""

from pierhead.metadata.clock import now
from pierhead.metadata.database import Row, Transaction
from pierhead.models import Digest, RepositoryName, Upload

_COLUMNS = "id, repository, algorithm, position, epoch, state, boot, touched_at, digest"
# Said so that the index on touched_at finds them: nothing is kept for longer than an idle session or a finished one.
_EXPIRED = """
    touched_at < max(:idle_before, :finished_before)
    AND touched_at < CASE WHEN digest IS NULL THEN :idle_before ELSE :finished_before END
"""


def _upload(row: Row) -> Upload:
    identity, repository, algorithm, position, epoch, state, boot, touched_at, digest = row
    return Upload(
        id=identity,
        repository=RepositoryName(repository),
        algorithm=algorithm,
        offset=position,
        epoch=epoch,
        state=state,
        boot=boot,
        touched_at=touched_at,
        digest=Digest(digest) if digest else None,
    )


async def find(tx: Transaction, upload_id: str) -> Upload | None:
    row = await tx.fetch_one(f"SELECT {_COLUMNS} FROM uploads WHERE id = :id", id=upload_id)
    return _upload(row) if row else None


async def add(tx: Transaction, upload: Upload) -> None:
    await tx.execute(
        f"""
        INSERT INTO uploads ({_COLUMNS})
        VALUES (:id, :repository, :algorithm, :position, :epoch, :state, :boot, :touched_at, :digest)
        """,
        id=upload.id,
        repository=upload.repository,
        algorithm=upload.algorithm,
        position=upload.offset,
        epoch=upload.epoch,
        state=upload.state,
        boot=upload.boot,
        touched_at=now(),
        digest=upload.digest,
    )


async def advance(tx: Transaction, upload: Upload) -> bool:
    """Keeps where an unfinished session stands; False where it was taken over, finished or cancelled."""
    changed = await tx.execute(
        """
        UPDATE uploads SET position = :position, state = :state, boot = :boot, touched_at = :moment
         WHERE id = :id AND epoch = :epoch AND digest IS NULL
        """,
        id=upload.id,
        epoch=upload.epoch,
        position=upload.offset,
        state=upload.state,
        boot=upload.boot,
        moment=now(),
    )
    return changed > 0


async def next_epoch(tx: Transaction, upload: Upload) -> bool:
    """Takes a session over from a writer that went silent; False where it moved, or somebody else was first."""
    changed = await tx.execute(
        """
        UPDATE uploads SET epoch = epoch + 1, touched_at = :moment
         WHERE id = :id AND epoch = :epoch AND position = :position AND touched_at = :touched_at AND digest IS NULL
        """,
        id=upload.id,
        epoch=upload.epoch,
        position=upload.offset,
        touched_at=upload.touched_at,
        moment=now(),
    )
    return changed > 0


async def finish(tx: Transaction, upload: Upload, digest: Digest) -> bool:
    """Remembers what a session became; False where it was taken over, finished or cancelled."""
    changed = await tx.execute(
        """
        UPDATE uploads SET digest = :digest, state = NULL, touched_at = :moment
         WHERE id = :id AND epoch = :epoch AND digest IS NULL
        """,
        id=upload.id,
        epoch=upload.epoch,
        digest=digest,
        moment=now(),
    )
    return changed > 0


async def remove(tx: Transaction, upload_id: str, *, epoch: int | None = None) -> Upload | None:
    """Removes a session, in this epoch only where one is given; returns what it was."""
    row = await tx.fetch_one(
        f"DELETE FROM uploads WHERE id = :id AND epoch = coalesce(:epoch, epoch) RETURNING {_COLUMNS}",
        id=upload_id,
        epoch=epoch,
    )
    return _upload(row) if row else None


async def any_expired(tx: Transaction, *, idle_before: int, finished_before: int) -> bool:
    """Whether nobody touched some session since these moments."""
    row = await tx.fetch_one(
        f"SELECT 1 FROM uploads WHERE {_EXPIRED} LIMIT 1", idle_before=idle_before, finished_before=finished_before
    )
    return row is not None


async def retire(tx: Transaction, *, idle_before: int, finished_before: int, limit: int) -> list[Upload]:
    """Takes expired sessions, oldest first, from whoever may still come back to them.

    They stay expired until they are removed, so that a crash leaves them to the next one who asks.
    """
    rows = await tx.fetch_all(
        f"""
        UPDATE uploads SET epoch = epoch + 1
         WHERE id IN (SELECT id FROM uploads WHERE {_EXPIRED} ORDER BY touched_at LIMIT :limit)
        RETURNING {_COLUMNS}
        """,
        idle_before=idle_before,
        finished_before=finished_before,
        limit=limit,
    )
    return [_upload(row) for row in rows]
