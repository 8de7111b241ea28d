"""What PostgreSQL and the way to it refuse, as refusals of the tree."""

from collections.abc import Iterator
from contextlib import contextmanager

from asyncpg import exceptions as pg

from pierhead.errors import Busy, MetadataUnavailable, PierheadError, StorageFull

# The transaction was undone by no fault of its own: the next try may well succeed.
AGAIN = (
    pg.SerializationError,
    pg.DeadlockDetectedError,
    pg.InvalidCachedStatementError,
    pg.OutdatedSchemaCacheError,
)
# There is no server behind the connection any more, or none yet.
LOST = (
    OSError,
    pg.PostgresConnectionError,
    pg.AdminShutdownError,
    pg.CrashShutdownError,
    pg.CannotConnectNowError,
    pg.IdleInTransactionSessionTimeoutError,
    pg.InterfaceError,
)
# Neither: who may not come in, or asks for a database that is not there, has to change the settings.
REFUSED = (pg.InvalidAuthorizationSpecificationError, pg.InvalidCatalogNameError)
# In this order: the first that fits.
_REFUSALS: tuple[tuple[tuple[type[Exception], ...], type[PierheadError]], ...] = (
    ((pg.DiskFullError,), StorageFull),
    ((*AGAIN, pg.LockNotAvailableError), Busy),
    (
        (
            *LOST,
            TimeoutError,
            pg.InsufficientResourcesError,
            pg.OperatorInterventionError,
            pg.PostgresSystemError,
            *REFUSED,
            pg.ReadOnlySQLTransactionError,
            pg.InternalClientError,
        ),
        MetadataUnavailable,
    ),
)


@contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # A value that does not fit its parameter is a mistake of ours, whatever asyncpg derives it from.
        if isinstance(error, ValueError):
            raise
        refusal = next((refusal for kinds, refusal in _REFUSALS if isinstance(error, kinds)), None)
        if refusal is None:
            raise
        raise refusal(told(error)) from error


def told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else "no answer in time"
