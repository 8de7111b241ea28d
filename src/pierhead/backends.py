"""Which database and which blob store the settings ask for. Whoever needs one opens it here."""

# ruff: noqa: PLC0415  what the embedded server does not use is not loaded: it starts within a second

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pierhead.blobs.files import FileStore
from pierhead.blobs.store import BlobStore, KeepsCopies
from pierhead.blobs.work import Observe, unobserved
from pierhead.data_directory import is_served
from pierhead.errors import ConfigurationError, StorageFailed, Unavailable
from pierhead.metadata.database import Commit
from pierhead.metadata.database import unobserved as uncounted
from pierhead.metadata.sqlite import engine
from pierhead.metadata.sqlite.database import SqliteDatabase
from pierhead.observability.metrics import Metrics
from pierhead.settings import Settings, StorageSettings

if TYPE_CHECKING:
    from pierhead.blobs.objects.bucket import Service
    from pierhead.metadata.postgresql.database import PostgresqlDatabase

_EMBEDDED = "pierhead.db"
_FILES = "file://"
_TRY_SECONDS = 5.0

log = logging.getLogger(__name__)


def prepare(settings: Settings) -> None:
    """Once before workers serve: makes the schema, or says why it cannot be used. Raises ConfigurationError."""
    asyncio.run(_try_bucket(settings))
    if settings.database.url is None:
        engine.prepare(settings.server.data / _EMBEDDED)
        return
    from pierhead.metadata.postgresql import preparing

    asyncio.run(preparing.prepare(settings.database))


def migrate(settings: Settings) -> list[str] | None:
    """The steps that were missing; None where there is nothing to do before `serve`. Raises ConfigurationError."""
    if settings.database.url is None:
        return None
    from pierhead.metadata.postgresql import preparing

    return asyncio.run(preparing.migrate(settings.database))


def database(
    settings: Settings, observe: Callable[[Commit], None] = uncounted
) -> "SqliteDatabase | PostgresqlDatabase":
    """To be opened with `async with`."""
    if settings.database.url is None:
        return SqliteDatabase(settings.server.data / _EMBEDDED, remembered=settings.cache.rows, observe=observe)
    from pierhead.metadata.postgresql.database import PostgresqlDatabase

    return PostgresqlDatabase(settings.database, observe=observe)


def is_missing(settings: Settings) -> bool:
    """Whether there is no registry yet on this machine."""
    return settings.database.url is None and not (settings.server.data / _EMBEDDED).exists()


def existing_database(settings: Settings) -> "SqliteDatabase | PostgresqlDatabase":
    """To be opened with `async with`. Raises ConfigurationError where there is none yet.

    Nor is one brought up to date that a server of an earlier version serves: it could not start again.
    """
    data = settings.server.data
    path = data / _EMBEDDED
    if settings.database.url is None:
        if not path.exists():
            raise ConfigurationError([f"server.data = {str(data)!r}: there is no database"])
        if engine.is_of_an_earlier_schema(path) and is_served(data):
            raise ConfigurationError([f"an earlier version serves {data}; restart its server with this one first"])
    return database(settings)


def observer(metrics: Metrics) -> Callable[[Commit], None]:
    """What counts the commits of a database."""

    def observe(commit: Commit) -> None:
        durability = "full" if commit.durable else "normal"
        metrics.committed(durability, transactions=commit.operations, seconds=commit.seconds)

    return observe


def copies(settings: Settings, store: BlobStore) -> KeepsCopies | None:
    """The store, where it shall keep copies of what is in rows."""
    return store if settings.storage.wants_copies and isinstance(store, KeepsCopies) else None


def files(settings: Settings) -> Path | None:
    """The directory of the blobs' files; None where a store of objects has them."""
    url = settings.storage.url
    if url is None:
        return settings.server.data
    return Path(url.removeprefix(_FILES)) if url.startswith(_FILES) else None


async def _try_bucket(settings: Settings) -> None:
    """Raises ConfigurationError where a store of objects says no, as it will say until somebody changes something.

    One that is away or slow is left to those who serve: they wait, and tell clients to.
    """
    if files(settings) is not None:
        return
    from pierhead.blobs.objects.patience import Fault

    try:
        async with asyncio.timeout(_TRY_SECONDS), store(settings) as opened:
            await opened.ping()
    except StorageFailed as error:
        if not isinstance(error.__cause__, Fault):
            mistake = f"storage.url: the store refuses ({error}); look at the bucket, the credentials and their rights"
            raise ConfigurationError([mistake]) from error
        log.warning("the store does not answer yet: %s", error)
    except (Unavailable, TimeoutError) as error:
        log.warning("the store does not answer yet: %s", f"{error}" or f"nothing within {_TRY_SECONDS:g} s")


def check_store(settings: Settings) -> None:
    """Raises ConfigurationError for a URL that its service does not take."""
    url = settings.storage.url or ""
    if url.startswith("s3://"):
        from pierhead.blobs.objects.s3_client import Choices

        Choices.parse(url)
    elif url.startswith("gs://"):
        from pierhead.blobs.objects import gcs
        from pierhead.blobs.objects.place import Place

        Place.parse(url, gcs.OPTIONS)
    elif url.startswith("az://"):
        from pierhead.blobs.objects import azure_account
        from pierhead.blobs.objects.place import Place

        Place.parse(url, azure_account.OPTIONS)


@asynccontextmanager
async def store(settings: Settings, observe: Observe = unobserved) -> AsyncIterator[BlobStore]:
    """Raises ConfigurationError for a store that may not be served."""
    root = files(settings)
    if root is not None:
        async with FileStore(root, settings.storage, observe=observe) as opened:
            yield opened
    else:
        # What an object store needs takes half a second to load; who keeps files does not wait for it.
        from pierhead.blobs.objects.store import ObjectStore

        async with (
            _bucket(settings.storage, observe) as bucket,
            ObjectStore(bucket, settings.storage, observe=observe) as objects,
        ):
            yield objects


def _bucket(settings: StorageSettings, observe: Observe) -> "AbstractAsyncContextManager[Service]":
    url = settings.url or ""
    if url.startswith("az://"):
        from pierhead.blobs.objects.azure import AzureBucket

        return AzureBucket(url, budget_seconds=settings.retry_seconds, observe=observe)
    if url.startswith("gs://"):
        from pierhead.blobs.objects.gcs import GoogleBucket

        return GoogleBucket(url, budget_seconds=settings.retry_seconds, observe=observe)
    from pierhead.blobs.objects.s3 import S3Bucket

    return S3Bucket(url, budget_seconds=settings.retry_seconds, observe=observe)
