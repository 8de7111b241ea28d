"""Which SQLite this is, and opening connections to it."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import apsw

from pierhead.errors import ConfigurationError, MetadataUnavailable, PierheadError, StorageFull

SCHEMA_VERSION = 1
BUSY_MILLISECONDS = 30_000
PAGE_CACHE_KIB = 16 * 1024

# sqlite.org/releaselog/3_51_3.html: in these a commit that races a checkpoint in WAL mode
# can be lost; two branches received the repair on their own.
_FAULTY_FROM, _FAULTY_TO = (3, 7, 0), (3, 51, 2)
_REPAIRED = {(3, 44, 6), (3, 50, 7)}


def version() -> str:
    return apsw.sqlite_lib_version()


def require_sound_version(text: str) -> None:
    """Raises ConfigurationError for a SQLite that can lose acknowledged commits."""
    number = tuple(int(part) for part in text.split("."))[:3]
    if _FAULTY_FROM <= number <= _FAULTY_TO and number not in _REPAIRED:
        raise ConfigurationError(
            [f"SQLite {text} can lose commits in WAL mode; install apsw with SQLite 3.51.3 or later: pip install -U apsw"]
        )


@contextmanager
def translated() -> Iterator[None]:
    """Errors of SQLite as refusals of the tree."""
    try:
        yield
    except apsw.FullError as error:
        raise StorageFull("the database's disk is full") from error
    except (apsw.IOError, apsw.CantOpenError) as error:
        full = "errno" in dir(error) and getattr(error, "errno", 0) in (errno.ENOSPC, errno.EDQUOT)
        raise (StorageFull if full else MetadataUnavailable)(str(error)) from error
    except (apsw.BusyError, apsw.LockedError, apsw.CorruptError, apsw.NotADBError, apsw.ReadOnlyError) as error:
        raise MetadataUnavailable(str(error)) from error


def connect(path: Path) -> apsw.Connection:
    """A connection with the settings that every use of the database relies on."""
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA cache_size = -{PAGE_CACHE_KIB}")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def prepare(path: Path) -> None:
    """Creates the database at its first start. Several processes may do this at once.

    Raises ConfigurationError where the file is of another program or of a later version.
    """
    require_sound_version(version())
    try:
        with translated():
            _create(path)
    except PierheadError as error:
        raise ConfigurationError([f"{path}: {error}"]) from error


def _create(path: Path) -> None:
    connection = connect(path)
    try:
        if connection.pragma("journal_mode") != "wal":
            connection.pragma("page_size", 4096)
            connection.pragma("journal_mode", "wal")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        found = connection.pragma("user_version")
        if found == 0:
            connection.execute(files("pierhead.metadata").joinpath("schema.sql").read_text())
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    finally:
        connection.close()
    if found not in (0, SCHEMA_VERSION):
        raise ConfigurationError(
            [f"{path} has schema {found}; this program serves {SCHEMA_VERSION}. Start the version of pierhead that wrote it."]
        )
