"""The seam to the database: what may be asked of it, whichever engine answers.

What commits together is one operation, a coroutine function of one transaction. It awaits
nothing but that transaction: an operation never spans a byte transfer, and an engine that
answers at once (SQLite) may run it to its end in one go, in the thread of its choice.

SQLite writes one operation after another. Elsewhere they run at once, each statement on what was
committed before it: one that decides on what it read says so with `lock`, before it reads.
"""

from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pierhead.metadata.locks import Lock

T = TypeVar("T")
Value = str | int | bytes | None
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Commit:
    """What a commit was like."""

    operations: int  # those that it took along
    durable: bool
    seconds: float


def unobserved(_: Commit) -> None:
    pass


class Transaction(Protocol):
    """SQL with named parameters (`:name`), and `clock_us()`: the database's time in microseconds since 1970.

    A comment that begins with `!` is for engines that run operations at once.
    """

    async def lock(self, *locks: Lock) -> None:
        """Holds all of these to the end of the transaction. The first thing an operation does, and only once."""
        ...

    async def fetch_all(self, sql: str, **parameters: Value) -> list[Row]: ...

    async def fetch_one(self, sql: str, **parameters: Value) -> Row | None: ...

    async def execute(self, sql: str, **parameters: Value) -> int:
        """Runs a statement and returns how many rows it changed."""
        ...

    async def execute_many(self, sql: str, rows: Iterable[Mapping[str, Value]]) -> None: ...


Operation = Callable[[Transaction], Coroutine[Any, Any, T]]


class Database(Protocol):
    """Rows. Every method raises MetadataUnavailable or StorageFull where the engine does."""

    def read(self, operation: Operation[T]) -> Awaitable[T]:
        """Runs an operation that only reads, on one consistent state. It may run more than once."""
        ...

    def version(self) -> Hashable:
        """Equal as long as nothing at all is committed, by any process; None where the engine cannot tell at once."""
        ...

    def recall(self, key: Hashable, operation: Operation[T]) -> Awaitable[T]:
        """`read`, from memory where the engine can tell that nothing at all was committed since it was last read.

        Never stale after an acknowledged write by any process. For small answers only.
        """
        ...

    def write(self, operation: Operation[T], *, durable: bool = True) -> Awaitable[T]:
        """Runs an operation in a transaction of its own and commits it; an exception rolls it back.

        Durable: on return the commit survives power loss. Otherwise it survives the death of
        every process. The operation may run more than once, each time on a fresh state.
        """
        ...

    async def ping(self) -> Mapping[str, str]:
        """What `/readyz` shows: the engine and its version."""
        ...


class Copyable(Database, Protocol):
    """A database that whole registries are copied from and into, with transactions that stay open meanwhile."""

    @property
    def apart(self) -> bool:
        """Whether statements run outside this process. Where they do not, everybody on its loop waits for each."""
        ...

    def snapshot(self) -> AbstractAsyncContextManager[Transaction]:
        """Reads one state for as long as the block lasts, whoever writes meanwhile."""
        ...

    def fill(self) -> AbstractAsyncContextManager[Transaction]:
        """Writes rows that have their ids already, and commits them durably at the block's end.

        References are checked then, not before, and ids given later come after those that were written.
        """
        ...
