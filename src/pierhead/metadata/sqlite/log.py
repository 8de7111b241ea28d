"""The write-ahead log: how long it may grow, and what becomes of it after a failed sync.

After a failed sync the kernel may call pages clean that never reached the disk. The next sync would then
succeed over a hole, and after a power cut everything behind the hole would be gone. So whoever sees a sync
fail leaves a mark for all processes, and nobody writes before the log was taken over into the database
and begun anew. Checkpoints are made here and not by SQLite, which would not tell that one failed.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from pierhead.errors import MetadataUnavailable
from pierhead.metadata.sqlite import engine

# Of the log before it is copied into the database, which costs two syncs and the same pages again and again:
# SQLite's own 1,000 are twenty commits of a busy server. As many as the first part of the log's index holds.
CHECKPOINT_PAGES = 4000
LOG_MAX_BYTES = 64 * 1024 * 1024
# Between two tries to start the log anew while somebody reads from it.
PAUSE_SECONDS = 1.0
_FAILED_SYNCS = (apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC)

log = logging.getLogger(__name__)


class Log:
    """Of one writing connection. Every method is for the writer's turn, outside a transaction."""

    def __init__(self, path: Path, connection: apsw.Connection) -> None:
        self._file = path.with_name(path.name + "-wal")
        self._mark = path.with_name(path.name + ".log-in-doubt")
        self._connection = connection
        self._pages = 0
        self._next = 0.0  # monotonic
        self._doubtful = False
        connection.set_wal_hook(self._committed)

    @contextmanager
    def doubted(self) -> Iterator[None]:
        """Around what syncs."""
        try:
            yield
        except apsw.IOError as error:
            if getattr(error, "extendedresult", 0) in _FAILED_SYNCS:
                self._doubt()
            raise

    def settle(self) -> None:
        """Raises MetadataUnavailable while a log whose sync failed could not be begun anew."""
        if not (self._doubtful or self._mark.exists()):
            return
        try:
            self._restart()
        except apsw.Error as error:
            raise MetadataUnavailable(f"the database's log could not be synced: {error}") from error
        self._mark.unlink(missing_ok=True)
        self._doubtful = False
        log.warning("the database's log was begun anew after a failed sync")

    def keep(self) -> None:
        """Bounds the log. What goes wrong here is no commit's fault."""
        try:
            with self.doubted():
                if self._pages >= CHECKPOINT_PAGES:
                    self._pages = 0
                    self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                self._shorten()
        except (OSError, apsw.Error):
            log.exception("the database's log could not be taken over")

    def _shorten(self) -> None:
        size = self._file.stat().st_size
        if size <= LOG_MAX_BYTES or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + PAUSE_SECONDS
        try:
            self._restart()
        except apsw.BusyError:
            log.info("the database's log could not be truncated while it is read", extra={"bytes": size})

    def _restart(self) -> None:
        self._connection.set_busy_timeout(0)
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        finally:
            self._connection.set_busy_timeout(engine.BUSY_MILLISECONDS)

    def _committed(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        self._pages = pages
        return apsw.SQLITE_OK

    def _doubt(self) -> None:
        self._doubtful = True
        try:
            self._mark.touch(0o600)
        except OSError:
            log.exception("other processes could not be told that a sync of the database's log failed")
