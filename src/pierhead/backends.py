"""Which database and which blob store the settings ask for. Whoever needs one opens it here."""

from collections.abc import Callable

from pierhead.blobs.files import FileStore
from pierhead.blobs.files.work import Observe, unobserved
from pierhead.metadata.sqlite.database import SqliteDatabase, ignore
from pierhead.metadata.sqlite.writer import Commit
from pierhead.settings import Settings


def database(settings: Settings, observe: Callable[[Commit], None] = ignore) -> SqliteDatabase:
    """To be opened with `async with`."""
    return SqliteDatabase(settings.server.data / "pierhead.db", remembered=settings.cache.rows, observe=observe)


def store(settings: Settings, observe: Observe = unobserved) -> FileStore:
    """To be opened with `async with`."""
    return FileStore(settings.server.data, settings.storage, observe=observe)
