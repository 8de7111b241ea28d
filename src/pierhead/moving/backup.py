"""A backup is a data directory: copied while the registry serves, whole at every moment, served as it is.

The next state is written to a database of its own beside that of the last one, and takes its place when
all that it names has arrived. So a backup that is cut short leaves the last one as it was.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from uuid import uuid4

import apsw

from pierhead.blobs.files.layout import sync_directory
from pierhead.blobs.store import BlobStore
from pierhead.errors import ConfigurationError, MoveFailed, Unavailable
from pierhead.metadata import copying, doomed, holds, locks, moves
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.sqlite import engine
from pierhead.metadata.sqlite.database import SqliteDatabase
from pierhead.moving import content, rows
from pierhead.moving.progress import Progress
from pierhead.moving.side import Copied, Side

DATABASE = "pierhead.db"
UNFINISHED = "pierhead.db.unfinished"
HOLD_SECONDS = 600
_RENEW_SECONDS = 60


async def back_up(source: Side, directory: Path, store: BlobStore, progress: Progress, *, read: bool = False) -> Copied:
    """Brings the backup in `directory` to the state of this moment; `store` is on it. Raises MoveFailed."""
    await asyncio.to_thread(_start_from_the_last, directory)
    await content.sweep(store)
    async with SqliteDatabase(directory / UNFINISHED) as database:
        await database.write(lambda tx: moves.leave(tx, "filling"))
        copied = await copy(source, Side(database, store), progress, read=read)
        removed = await database.write(doomed.take_all)
    await asyncio.to_thread(_put_in_place, directory)
    await store.remove(removed)
    return copied


async def copy(source: Side, target: Side, progress: Progress, *, read: bool) -> Copied:
    """Makes the target what the source is now: its rows of one moment first, then the bytes that they name."""
    async with held(source.database):
        async with source.database.snapshot() as theirs, target.database.fill() as ours:
            touched = await rows.synchronize(theirs, ours, progress)
            expected = await rows.counts(theirs)
        await content.look(target, progress, read=read)
        blobs, size = await content.carry(source, target, progress)
    left, _ = await target.database.read(copying.awaited)
    if left:
        raise MoveFailed(f"{left} blobs went from the source while they were copied")
    totals = await target.database.read(rows.counts)
    if totals != expected:
        raise MoveFailed("somebody else wrote to the target meanwhile; begin anew with an empty one")
    return Copied(touched, blobs, size, sum(totals.values()), totals["blobs"])


@asynccontextmanager
async def held(database: Database) -> AsyncIterator[None]:
    """Nothing that a row names is removed from the store while the block lasts."""
    name = f"copy {uuid4()}"

    async def begin(tx: Transaction) -> None:
        await tx.lock(locks.removing())  # who removes rows just now does so before the first of them is read
        await holds.take(tx, name, seconds=HOLD_SECONDS)

    async def take() -> None:
        await database.write(begin)

    async def renew() -> None:
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            with suppress(Unavailable):  # it lasts for some more tries
                await take()

    await take()
    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewing.cancel()
        with suppress(asyncio.CancelledError):
            await renewing
        await database.write(lambda tx: holds.release(tx, name))


def require(directory: Path) -> None:
    """Raises ConfigurationError where there is no finished backup."""
    if not (directory / DATABASE).is_file():
        raise ConfigurationError([f"{directory} holds no finished backup: it has no {DATABASE}"])


def _start_from_the_last(directory: Path) -> None:
    """What the last backup has need not be copied again, and what an unfinished one has neither."""
    last, unfinished = directory / DATABASE, directory / UNFINISHED
    if unfinished.exists() or not last.exists():
        return
    draft = directory / f"{UNFINISHED}.{os.getpid()}"
    draft.unlink(missing_ok=True)
    with (
        engine.translated(),
        closing(engine.connect(last)) as old,
        closing(apsw.Connection(str(draft))) as new,
        new.backup("main", old, "main") as pages,
    ):
        pages.step()
    draft.rename(unfinished)


def _put_in_place(directory: Path) -> None:
    """The new database is closed, so it is one file; what the old one has in its log goes into it first."""
    last, unfinished = directory / DATABASE, directory / UNFINISHED
    if last.exists():
        with engine.translated(), closing(engine.connect(last)) as old:
            old.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    for file in (last, unfinished):
        if file.with_name(f"{file.name}-wal").exists():
            raise MoveFailed(f"somebody has {file} open")
    descriptor = os.open(unfinished, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    for aside in directory.glob(f"{UNFINISHED}.schema-*"):  # of a backup that an earlier version took
        aside.unlink()
    unfinished.rename(last)
    sync_directory(str(directory))
