"""Rows of upload sessions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pierhead.metadata.database import Row, Transaction
from pierhead.models import Digest, Part, RepositoryName, Upload

_COLUMNS = "id, repository, algorithm, position, epoch, state, boot, touched_at, digest, writer, notes"
_IDLE = "clock_us() - touched_at"
# A session that ended without a blob has an epoch that no writer has, and that tells which it was.
_CANCELLED = "-1 - epoch"
# Said so that the index on touched_at finds them: nothing is kept for less than the shorter of both.
_EXPIRED = """
    touched_at < clock_us() - :shorter
    AND touched_at < clock_us() - CASE WHEN digest IS NULL THEN CAST(:idle AS BIGINT) ELSE CAST(:finished AS BIGINT) END
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """For how many microseconds a session is kept after it was last touched."""

    idle: int
    finished: int

    def parameters(self) -> dict[str, int]:
        return {"idle": self.idle, "finished": self.finished, "shorter": min(self.idle, self.finished)}


def _upload(row: Row) -> Upload:
    identity, repository, algorithm, position, epoch, state, boot, touched_at, digest, writer, notes, idle = row
    return Upload(
        id=identity,
        repository=RepositoryName(repository),
        algorithm=algorithm,
        offset=position,
        epoch=epoch,
        state=state,
        boot=boot,
        touched_at=touched_at,
        idle=idle,
        digest=Digest(digest) if digest else None,
        writer=writer,
        notes=notes,
    )


async def find(tx: Transaction, upload_id: str) -> Upload | None:
    row = await tx.fetch_one(f"SELECT {_COLUMNS}, {_IDLE} FROM uploads WHERE id = :id", id=upload_id)
    return _upload(row) if row else None


async def add(tx: Transaction, upload: Upload, *, ends: bool = False) -> bool:
    """Gives a session its row; False where it has one that is another writer's, finished, cancelled or further on.

    One that nobody told of it (the answer of a commit was lost) is given it again. `upload.writer` begins to write,
    or where `ends`, wrote all of it meanwhile.
    """
    changed = await tx.execute(
        f"""
        INSERT INTO uploads ({_COLUMNS})
        VALUES (:id, :repository, :algorithm, :position, :epoch, :state, :boot, clock_us(), :digest, :writer, :notes)
        ON CONFLICT (id) DO UPDATE
           SET position = excluded.position, epoch = excluded.epoch, state = excluded.state, boot = excluded.boot,
               touched_at = excluded.touched_at, digest = excluded.digest, writer = excluded.writer,
               notes = excluded.notes
         WHERE uploads.epoch = :before AND uploads.digest IS NULL AND uploads.position <= excluded.position
           AND COALESCE(uploads.writer, '') = :own
        """,
        id=upload.id,
        repository=upload.repository,
        algorithm=upload.algorithm,
        position=upload.offset,
        epoch=upload.epoch,
        state=upload.state,
        boot=upload.boot,
        digest=upload.digest,
        writer=None if ends else upload.writer,
        notes=upload.notes,
        before=max(0, upload.epoch),
        own=upload.writer or "",
    )
    return changed > 0


async def claim(tx: Transaction, upload: Upload, *, silence: int) -> bool:
    """Lets `upload.writer` write from the next epoch on; False where the row moved, or its writer may be alive.

    One that was silent for so many microseconds is not.

    From here on the writer before it can change nothing any more.
    """
    changed = await tx.execute(
        """
        UPDATE uploads SET epoch = epoch + 1, writer = :writer, touched_at = clock_us()
         WHERE id = :id AND epoch = :epoch AND digest IS NULL
           AND (writer IS NULL OR touched_at < clock_us() - CAST(:silence AS BIGINT))
        """,
        id=upload.id,
        epoch=upload.epoch,
        writer=upload.writer,
        silence=silence,
    )
    return changed > 0


async def unclaim(tx: Transaction, upload: Upload) -> None:
    """Lets others write, where this writer still may."""
    await tx.execute(
        "UPDATE uploads SET writer = NULL WHERE id = :id AND epoch = :epoch AND writer = :writer",
        id=upload.id,
        epoch=upload.epoch,
        writer=upload.writer,
    )


async def advance(tx: Transaction, upload: Upload, parts: Sequence[Part] = (), *, ends: bool = False) -> bool:
    """Keeps where an unfinished session stands; False where it was taken over, finished or cancelled.

    `parts` are those that its store took since; with `ends` its writer writes no more.
    """
    moved = await _moved(tx, upload, ends=ends) if upload.saved else await add(tx, upload, ends=ends)
    if moved and parts:
        await tx.execute_many(
            "INSERT INTO upload_parts (upload_id, number, size, tag) VALUES (:id, :number, :size, :tag)",
            [{"id": upload.id, "number": part.number, "size": part.size, "tag": part.tag} for part in parts],
        )
    return moved


async def _moved(tx: Transaction, upload: Upload, *, ends: bool) -> bool:
    changed = await tx.execute(
        """
        UPDATE uploads
           SET position = :position, state = :state, boot = :boot, notes = :notes, writer = :writer,
               touched_at = clock_us()
         WHERE id = :id AND epoch = :epoch AND digest IS NULL
        """,
        id=upload.id,
        epoch=upload.epoch,
        position=upload.offset,
        state=upload.state,
        boot=upload.boot,
        notes=upload.notes,
        writer=None if ends else upload.writer,
    )
    return changed > 0


async def parts(tx: Transaction, upload: Upload) -> list[Part]:
    """The accepted parts of an upload into an object store, in the order of their numbers."""
    rows = await tx.fetch_all(
        "SELECT number, size, tag FROM upload_parts WHERE upload_id = :id ORDER BY number", id=upload.id
    )
    return [Part(*row) for row in rows]


async def next_epoch(tx: Transaction, upload: Upload) -> bool:
    """Takes a session over from a writer that went silent; False where it moved, or somebody else was first."""
    changed = await tx.execute(
        """
        UPDATE uploads SET epoch = epoch + 1, touched_at = clock_us()
         WHERE id = :id AND epoch = :epoch AND position = :position AND touched_at = :touched_at AND digest IS NULL
        """,
        id=upload.id,
        epoch=upload.epoch,
        position=upload.offset,
        touched_at=upload.touched_at,
    )
    return changed > 0


async def finish(tx: Transaction, upload: Upload, digest: Digest) -> bool:
    """Remembers what a session became; False where it was taken over, finished or cancelled."""
    if not upload.saved:
        return await add(tx, replace(upload, digest=digest, notes=None), ends=True)
    changed = await tx.execute(
        """
        UPDATE uploads SET digest = :digest, state = NULL, notes = NULL, writer = NULL, touched_at = clock_us()
         WHERE id = :id AND epoch = :epoch AND digest IS NULL
        """,
        id=upload.id,
        epoch=upload.epoch,
        digest=digest,
    )
    if changed:
        await tx.execute("DELETE FROM upload_parts WHERE upload_id = :id", id=upload.id)
    return changed > 0


async def cancel(tx: Transaction, upload: Upload) -> bool:
    """Ends a session that stands as told; False where it moved on. The row stays until it expires.

    What has no row could be taken for a session that has none yet.
    """
    if not upload.saved:
        return await add(tx, replace(upload, epoch=-1 - upload.epoch), ends=True)
    changed = await tx.execute(
        f"UPDATE uploads SET epoch = {_CANCELLED}, state = NULL WHERE id = :id AND epoch = :epoch AND digest IS NULL",
        id=upload.id,
        epoch=upload.epoch,
    )
    return changed > 0


async def forget(tx: Transaction, upload: Upload) -> None:
    """Removes the row of a retired session."""
    await tx.execute("DELETE FROM uploads WHERE id = :id AND epoch < 0", id=upload.id)


async def any_expired(tx: Transaction, kept: Kept) -> bool:
    """Whether nobody touched some session for longer than it is kept."""
    row = await tx.fetch_one(f"SELECT 1 FROM uploads WHERE {_EXPIRED} LIMIT 1", **kept.parameters())
    return row is not None


async def retire(tx: Transaction, kept: Kept, *, limit: int) -> list[Upload]:
    """Ends expired sessions, oldest first, and returns them as they were: nobody comes back to one whose bytes go.

    They stay expired until they are removed, so that a crash leaves them to the next one who asks.
    """
    rows = await tx.fetch_all(
        f"""
        WITH taken AS MATERIALIZED (  -- locked, so that none is taken that somebody came back to meanwhile
            SELECT id FROM uploads WHERE {_EXPIRED} ORDER BY touched_at LIMIT :limit
            /*! FOR UPDATE SKIP LOCKED */
        )
        UPDATE uploads SET epoch = CASE WHEN epoch < 0 THEN epoch ELSE {_CANCELLED} END
         WHERE id IN (SELECT id FROM taken)
        RETURNING {_COLUMNS}, {_IDLE}
        """,
        limit=limit,
        **kept.parameters(),
    )
    return [replace(upload, epoch=-1 - upload.epoch) for upload in map(_upload, rows)]
