"""A blob store on a local disk: `FileStore`. Where files lie is in `layout`, how one is written in `staged`."""

import os
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from pierhead.blobs.files import copies
from pierhead.blobs.files.appender import FileAppender
from pierhead.blobs.files.kernel import boot_id
from pierhead.blobs.files.layout import Layout, forget, remove
from pierhead.blobs.files.reader import FileReader
from pierhead.blobs.files.staged import Staged
from pierhead.blobs.files.takeover import lock, take_over
from pierhead.blobs.hashing import Hashes
from pierhead.blobs.store import Appender, Kept, Ledger, Reader
from pierhead.blobs.work import Observe, Work, storage_errors, unobserved
from pierhead.errors import BlobMissing, StorageFailed, StorageFull, UploadBusy, UploadUnknown
from pierhead.models import Doomed, Upload
from pierhead.settings import StorageSettings

# A staged file can be forgotten, or its session taken over, between its row and its lock.
_TRIES = 3
# Bytes from which freeing a file's blocks may hold the loop up.
_LARGE = 8 * 1024 * 1024


class FileStore:
    """Implements `BlobStore`, `Locks` and `KeepsCopies`; open it with `async with`."""

    def __init__(
        self,
        root: Path,
        settings: StorageSettings,
        *,
        observe: Observe = unobserved,
        hashes: Hashes | None = None,
        staged: Callable[[str], Staged] = Staged,
    ) -> None:
        self._layout = Layout(root)
        self._settings = settings
        self._work = Work(observe)
        self._hashes = hashes or Hashes.load()
        self._staged = staged
        self.boot = boot_id()

    async def __aenter__(self) -> Self:
        """Raises ConfigurationError where the directory may not be served."""
        with storage_errors("prepare"):
            self._layout.prepare(allow_network=self._settings.allow_network_filesystem)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._work.close()

    @asynccontextmanager
    async def append(self, upload: Upload, ledger: Ledger | None = None) -> AsyncIterator[Appender]:
        staged, upload = await self._locked(upload, ledger)
        try:
            appender = await self._appender(staged, upload)
            try:
                yield appender
            finally:
                await appender.close()
        finally:
            await self._close(staged)

    async def take_over(self, upload: Upload) -> None:
        following = self._layout.staged(upload, upload.epoch + 1)
        target = self._staged(following)
        await take_over(self._work, upload, source=self._layout.staged(upload), target=target)

    async def discard(self, upload: Upload, *, kept: str | None = None) -> None:  # noqa: ARG002  it has names of its own
        paths = [self._layout.staged(upload, epoch) for epoch in range(upload.epoch + 2)]
        run = self._work.syncing if upload.offset > _LARGE else self._work.directory
        await run("discard", 0, partial(forget, paths))

    async def abandoned(self, before: int) -> list[str]:
        return await self._work.syncing("list", 0, partial(self._layout.staged_before, before / 1_000_000))

    async def open(self, key: str) -> Reader:
        path = self._layout.blob(key)
        reader = FileReader(chunk=self._settings.read_chunk_bytes, work=self._work)
        try:
            await self._work.directory("open", 0, partial(_open, reader, path, key))
        except BaseException:
            reader.close()
            raise
        return reader

    async def remove(self, doomed: Sequence[Doomed]) -> None:
        paths = []
        for one in doomed:
            with suppress(BlobMissing):
                paths.append(self._layout.blob(one.key))
        if paths:
            await self._work.syncing("remove", 0, partial(remove, paths))

    async def listed(self) -> AsyncIterator[Kept]:
        for leaf in self._layout.leaves():
            for one in await self._work.syncing("list", 0, partial(self._layout.kept, leaf)):
                yield one

    async def keep(self, name: str, content: bytes) -> None:
        await self._work.syncing("copy", len(content), partial(copies.keep, self._layout.copies, name, content))

    async def forget(self, name: str) -> None:
        await self._work.syncing("remove", 0, partial(copies.forget, self._layout.copies, name))

    async def copies(self, folder: str) -> AsyncIterator[str]:
        for name in await self._work.syncing("list", 0, partial(copies.names, self._layout.copies, folder)):
            yield name

    async def copy(self, name: str) -> bytes:
        return await self._work.syncing("read", 0, partial(copies.read, self._layout.copies, name))

    async def ping(self) -> None:
        await self._work.syncing("ping", 0, self._try_disk)

    async def _locked(self, upload: Upload, ledger: Ledger | None) -> tuple[Staged, Upload]:
        """The staged file under its lock, and the session's row as it was read under it."""
        for _ in range(_TRIES):
            staged = self._staged(self._layout.staged(upload))
            try:
                await self._work.directory("lock", 0, partial(lock, staged, upload, create=upload.offset == 0))
                current = await _refreshed(staged, ledger) if ledger else upload
            except BaseException:
                staged.close()
                raise
            if current.epoch == upload.epoch:
                return staged, current
            # Taken over between its row and its lock: that file is nobody's now.
            staged.close()
            upload = current
        raise UploadBusy(upload.id, upload.offset)

    async def _appender(self, staged: Staged, upload: Upload) -> FileAppender:
        if staged.size < upload.offset:
            raise UploadUnknown(upload.id)
        if staged.size > upload.offset:
            await self._work.syncing("truncate", 0, partial(staged.truncate, upload.offset))
        staged.start(upload.offset)
        appender = FileAppender(
            staged,
            upload,
            layout=self._layout,
            work=self._work,
            hashes=self._hashes,
            boot=self.boot,
            batch=self._settings.batch_bytes,
        )
        await appender.resume()
        return appender

    async def _close(self, staged: Staged) -> None:
        # Closing the last way to a large file frees its blocks, which takes its time.
        if staged.position > _LARGE:
            await self._work.syncing("close", 0, staged.close)
        else:
            staged.close()

    def _try_disk(self) -> None:
        path = self._layout.uploads / f".ping-{secrets.token_hex(8)}"
        try:
            with path.open("xb") as file:
                file.write(b"ping")
                file.flush()
                os.fsync(file.fileno())
        finally:
            path.unlink(missing_ok=True)
        disk = os.statvfs(path.parent)
        free = disk.f_bavail * disk.f_frsize
        if free < self._settings.min_free_bytes:
            raise StorageFull(
                f"{free} bytes are free (setting storage.min_free_bytes: {self._settings.min_free_bytes})"
            )


async def _refreshed(staged: Staged, ledger: Ledger) -> Upload:
    try:
        return await ledger.refresh()
    except UploadUnknown:
        # Made by the lock, for a session that ended just before.
        with storage_errors("discard"):
            staged.forget_new()
        raise


def _open(reader: FileReader, path: str, key: str) -> None:
    try:
        reader.open(path)
    except FileNotFoundError as error:
        # Where the whole directory is away, as that of a disk that is not mounted, nobody knows what it holds.
        if not os.path.isdir(path.rpartition("/")[0]):  # noqa: PTH112  a path is a text here
            raise StorageFailed(f"open: the directory of {key} is away") from error
        raise BlobMissing(key) from error
