"""Which database and which blob store the settings ask for. Whoever needs one opens it here."""

from collections.abc import Callable

from pierhead.blobs.files import FileStore
from pierhead.blobs.files.work import Observe, unobserved
from pierhead.blobs.store import KeepsCopies
from pierhead.errors import ConfigurationError
from pierhead.metadata.sqlite.database import SqliteDatabase, ignore
from pierhead.metadata.sqlite.writer import Commit
from pierhead.observability.metrics import Metrics
from pierhead.settings import Settings


def database(settings: Settings, observe: Callable[[Commit], None] = ignore) -> SqliteDatabase:
    """To be opened with `async with`."""
    return SqliteDatabase(settings.server.data / "pierhead.db", remembered=settings.cache.rows, observe=observe)


def existing_database(settings: Settings) -> SqliteDatabase:
    """To be opened with `async with`. Raises ConfigurationError where there is none yet."""
    if not (settings.server.data / "pierhead.db").exists():
        raise ConfigurationError([f"server.data = {str(settings.server.data)!r}: there is no database"])
    return database(settings)


def observer(metrics: Metrics) -> Callable[[Commit], None]:
    """What counts the commits of a database."""

    def observe(commit: Commit) -> None:
        durability = "full" if commit.durable else "normal"
        metrics.committed(durability, transactions=commit.operations, seconds=commit.seconds)

    return observe


def store(settings: Settings, observe: Observe = unobserved) -> FileStore:
    """To be opened with `async with`."""
    return FileStore(settings.server.data, settings.storage, observe=observe)


def copies(settings: Settings, store: FileStore) -> KeepsCopies | None:
    """The store, where it shall keep copies of what is in rows."""
    return store if settings.storage.wants_copies else None
