"""Which database and which blob store the settings ask for. Whoever needs one opens it here."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pierhead.blobs.files import FileStore
from pierhead.blobs.store import BlobStore
from pierhead.blobs.work import Observe, unobserved
from pierhead.metadata.sqlite.database import SqliteDatabase, ignore
from pierhead.metadata.sqlite.writer import Commit
from pierhead.settings import Settings, StorageSettings

if TYPE_CHECKING:
    from pierhead.blobs.objects.bucket import Service

FILE_SCHEME = "file://"


def database(settings: Settings, observe: Callable[[Commit], None] = ignore) -> SqliteDatabase:
    """To be opened with `async with`."""
    return SqliteDatabase(settings.server.data / "pierhead.db", remembered=settings.cache.rows, observe=observe)


@asynccontextmanager
async def store(settings: Settings, observe: Observe = unobserved) -> AsyncIterator[BlobStore]:
    """Raises ConfigurationError for a store that may not be served."""
    url = settings.storage.url
    if url is None or url.startswith(FILE_SCHEME):
        root = Path(url.removeprefix(FILE_SCHEME)) if url else settings.server.data
        async with FileStore(root, settings.storage, observe=observe) as files:
            yield files
    else:
        # What an object store needs takes half a second to load; who keeps files does not wait for it.
        from pierhead.blobs.objects.store import ObjectStore  # noqa: PLC0415

        async with _bucket(settings.storage, url, observe) as bucket:
            async with ObjectStore(bucket, settings.storage, observe=observe) as objects:
                yield objects


def _bucket(settings: StorageSettings, url: str, observe: Observe) -> "AbstractAsyncContextManager[Service]":
    from pierhead.blobs.objects.s3 import S3Bucket  # noqa: PLC0415

    return S3Bucket(url, budget_seconds=settings.retry_seconds, observe=observe)
