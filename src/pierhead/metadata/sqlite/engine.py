"""Which SQLite this is, and opening connections to it."""

import errno
import logging
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.resources import files
from pathlib import Path

import apsw

from pierhead.errors import ConfigurationError, MetadataUnavailable, Moved, Moving, PierheadError, StorageFull
from pierhead.metadata.clock import now

# What each version of the schema adds to the one before.
STEPS = ("schema.sql", "schema_2.sql", "schema_3.sql", "schema_4.sql", "schema_5.sql", "schema_6.sql", "schema_7.sql")
SCHEMA_VERSION = len(STEPS)
APPLICATION_ID = 0x50494552  # PIER, at its place in the file's header
BUSY_MILLISECONDS = 30_000
PAGE_CACHE_KIB = 16 * 1024
# What a trigger says that refuses to write.
MOVED = "the registry has moved"
FROZEN = "the registry is frozen"

# sqlite.org/releaselog/3_51_3.html: in these a commit that races a checkpoint in WAL mode
# can be lost; two branches received the repair on their own.
_FAULTY_FROM, _FAULTY_TO = (3, 7, 0), (3, 51, 2)
_REPAIRED = {(3, 44, 6), (3, 50, 7)}


log = logging.getLogger(__name__)


def version() -> str:
    return apsw.sqlite_lib_version()


def require_sound_version(text: str) -> None:
    """Raises ConfigurationError for a SQLite that can lose acknowledged commits."""
    number = tuple(int(part) for part in text.split("."))[:3]
    if _FAULTY_FROM <= number <= _FAULTY_TO and number not in _REPAIRED:
        raise ConfigurationError(
            [f"SQLite {text} can lose commits in WAL mode; 3.51.3 or later is needed: pip install -U apsw"]
        )


# Not the fault of one statement: whatever else is in the transaction, it cannot be committed.
FATAL = (
    apsw.FullError,
    apsw.IOError,
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.ReadOnlyError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.ProtocolError,
    apsw.NoMemError,
)
# Of the shared index of the log, whose file is made longer before it is written.
_CANNOT_GROW = apsw.SQLITE_IOERR_SHMSIZE


@contextmanager
def translated(connection: apsw.Connection | None = None) -> Iterator[None]:
    """Errors of SQLite as refusals of the tree."""
    try:
        yield
    except FATAL as error:
        if _is_full(error, connection):
            raise StorageFull("the database's disk is full") from error
        raise MetadataUnavailable(f"{type(error).__name__}: {error}") from error


def refusal(error: Exception) -> Exception:
    """What a trigger that refuses a write meant (see `capture`); any other error is itself."""
    if getattr(error, "extendedresult", 0) != apsw.SQLITE_CONSTRAINT_TRIGGER:
        return error
    refused: Exception = Moved() if MOVED in str(error) else Moving()
    refused.__cause__ = error
    return refused


def _is_full(error: apsw.Error, connection: apsw.Connection | None) -> bool:
    if isinstance(error, apsw.FullError) or getattr(error, "extendedresult", 0) == _CANNOT_GROW:
        return True
    # What the system said last; asked only after an error of input or output.
    return (
        isinstance(error, apsw.IOError | apsw.CantOpenError)
        and connection is not None
        and connection.system_errno in (errno.ENOSPC, errno.EDQUOT)
    )


def connect(path: Path) -> apsw.Connection:
    """A connection with the settings that every use of the database relies on."""
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA cache_size = -{PAGE_CACHE_KIB}")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.create_scalar_function("clock_us", lambda *_: now(), 0)
    return connection


def is_of_an_earlier_schema(path: Path) -> bool:
    """Whether `prepare` would change a database."""
    with translated():
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            return 0 < int(str(connection.pragma("user_version"))) < SCHEMA_VERSION
        finally:
            connection.close()


def prepare(path: Path) -> None:
    """Creates the database at its first start. Several processes may do this at once.

    Raises ConfigurationError where the file is damaged, of another program or of a later version.
    """
    require_sound_version(version())
    try:
        with translated():
            connection = connect(path)
            try:
                _create(connection, path)
            finally:
                connection.close()
    except ConfigurationError:
        raise
    except PierheadError as error:
        raise ConfigurationError([f"{path} cannot be used as the database: {error}"]) from error
    except OSError as error:
        raise ConfigurationError([f"{path} could not be copied aside: {error.strerror}"]) from error


def _create(connection: apsw.Connection, path: Path) -> None:
    if connection.pragma("journal_mode") != "wal":
        _use_log(connection)
    connection.execute("PRAGMA synchronous = FULL")
    # A step may make a table anew (sqlite.org/lang_altertable.html, section 7); inside a transaction it is too late.
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("BEGIN IMMEDIATE")
    found = connection.pragma("user_version")
    if found == 0:
        if connection.execute("SELECT count(*) FROM sqlite_schema").get:
            raise ConfigurationError([f"{path} is a database of another program; choose another server.data"])
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    elif connection.pragma("application_id") != APPLICATION_ID:
        raise ConfigurationError([f"{path} is a database of another program; choose another server.data"])
    elif found > SCHEMA_VERSION:
        raise ConfigurationError(
            [f"{path} has schema {found}, this program serves {SCHEMA_VERSION}; start the version that wrote it"]
        )
    if 0 < found < SCHEMA_VERSION:
        _copy_aside(path, path.with_name(f"{path.name}.schema-{found}"))
    triggers = _triggers(connection)
    for version, step in enumerate(STEPS[found:], found + 1):
        connection.execute(step_text(step))
        connection.execute(f"PRAGMA user_version = {version}")
    for text in triggers - _triggers(connection):
        connection.execute(text)
    if found < SCHEMA_VERSION:
        _require_references(connection, path)
    connection.execute("COMMIT")


def _triggers(connection: apsw.Connection) -> set[str]:
    """Those that a registry has which is being moved, or was: they go with a table that is made anew."""
    return {str(text) for (text,) in connection.execute("SELECT sql FROM sqlite_schema WHERE type = 'trigger'")}


def _require_references(connection: apsw.Connection, path: Path) -> None:
    """Raises ConfigurationError where a table that was made anew lost what others refer to."""
    for table in ("events", "tag_history"):
        broken = connection.execute(f"PRAGMA foreign_key_check({table})").fetchone()
        if broken is not None:
            raise ConfigurationError([f"{path}: {table} refers to rows that are not there; pierhead check tells more"])


def _copy_aside(path: Path, copy: Path) -> None:
    """What the version before can go on with, should this one not please. The caller has the right to write."""
    unfinished = copy.with_name(f"{copy.name}.part")
    unfinished.unlink(missing_ok=True)
    # A second connection: SQLite copies none that is about to write.
    with (
        closing(connect(path)) as source,
        closing(apsw.Connection(str(unfinished))) as target,
        target.backup("main", source, "main") as backup,
    ):
        backup.step()
    descriptor = os.open(unfinished, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    unfinished.rename(copy)
    log.info("the database of before is kept as %s", copy)


def step_text(name: str) -> str:
    return files("pierhead.metadata").joinpath(name).read_text()


def _use_log(connection: apsw.Connection) -> None:
    """Changes to write-ahead logging; SQLite does not wait for others who do the same."""
    connection.pragma("page_size", 4096)
    deadline = time.monotonic() + BUSY_MILLISECONDS / 1000
    while True:
        try:
            connection.pragma("journal_mode", "wal")
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
