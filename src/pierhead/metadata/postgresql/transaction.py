"""Transactions on a connection, and running an operation on one."""

import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Mapping
from typing import Any, TypeVar

from asyncpg import Connection

from pierhead.errors import MetadataUnavailable
from pierhead.metadata.database import Operation, Row, Value
from pierhead.metadata.locks import Lock
from pierhead.metadata.postgresql import faults
from pierhead.metadata.postgresql.statements import Statement, numbered

T = TypeVar("T")


class AsksMore(BaseException):
    """An operation needs more than one statement; no operation is to catch this."""


class Statements:
    """Statements on a connection, each in a transaction of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.asking = False

    async def lock(self, *locks: Lock) -> None:  # noqa: ARG002  whichever they are
        raise AsksMore

    async def fetch_all(self, sql: str, **parameters: Value) -> list[Row]:
        statement = numbered(sql)
        await self._begin(statement)
        rows = await self._ask(self._connection.fetch(statement.text, *statement.values(parameters)))
        return [tuple(row) for row in rows]

    async def fetch_one(self, sql: str, **parameters: Value) -> Row | None:
        rows = await self.fetch_all(sql, **parameters)
        return rows[0] if rows else None

    async def execute(self, sql: str, **parameters: Value) -> int:
        statement = numbered(sql)
        await self._begin(statement)
        status = await self._ask(self._connection.execute(statement.text, *statement.values(parameters)))
        count = status.rpartition(" ")[2]  # "INSERT 0 1"
        return int(count) if count.isdigit() else 0

    async def execute_many(self, sql: str, rows: Iterable[Mapping[str, Value]]) -> None:
        statement = numbered(sql)
        await self._begin(statement)
        await self._ask(self._connection.executemany(statement.text, [statement.values(row) for row in rows]))

    async def _begin(self, statement: Statement) -> None: ...

    async def _ask(self, answer: Awaitable[T]) -> T:
        self.asking = True
        try:
            return await answer
        finally:
            self.asking = False


class OneRead(Statements):
    """A single SELECT, without a BEGIN and a COMMIT around it. Raises AsksMore at whatever needs them."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._asked = False

    async def _begin(self, statement: Statement) -> None:
        if self._asked or not statement.reads:
            raise AsksMore
        self._asked = True


class PostgresqlTransaction(Statements):
    """Begins with its first statement, in one round trip with the locks."""

    def __init__(self, connection: Connection, opening: str) -> None:
        super().__init__(connection)
        self._opening = opening

    async def lock(self, *locks: Lock) -> None:
        if not self._opening:
            raise RuntimeError("locks are taken all at once, before anything is read")
        taken = "".join(f"; SELECT pg_advisory_xact_lock{'_shared' * one.shared}({one.key})" for one in sorted(locks))
        await self._open(taken)

    async def commit(self) -> None:
        if self._opening:
            return  # nothing was asked
        try:
            status = await self._connection.execute("COMMIT")
        except TimeoutError:
            raise
        except faults.LOST as error:
            raise MetadataUnavailable(f"the outcome of a commit is unknown: {faults.told(error)}") from error
        if status != "COMMIT":
            raise RuntimeError("an operation went on after a statement that had failed")

    async def roll_back(self) -> None:
        if self._connection.is_in_transaction():
            await self._connection.execute("ROLLBACK")

    async def _begin(self, statement: Statement) -> None:  # noqa: ARG002  whatever it is
        if self._opening:
            await self._open()

    async def _open(self, locks: str = "") -> None:
        text, self._opening = self._opening + locks, ""
        await self._ask(self._connection.execute(text))


async def run(connection: Connection, opening: str, operation: Operation[T]) -> T:
    """Runs an operation in a transaction of its own and commits it."""
    tx = PostgresqlTransaction(connection, opening)
    try:
        result = await attended(operation(tx), lambda: tx.asking)
    except faults.LOST:
        raise  # there is nobody to be told; the pool closes what is left of the connection
    except Exception:
        await tx.roll_back()
        raise
    await tx.commit()
    return result


@types.coroutine
def attended(operation: Coroutine[Any, Any, T], asking: Callable[[], bool]) -> Generator[Any, Any, T]:
    """Runs an operation that awaits nothing but its transaction: nothing is held while bytes are on their way."""
    step: Callable[[Any], Any] = operation.send
    given: Any = None
    while True:
        try:
            awaited = step(given)
        except StopIteration as done:
            result: T = done.value
            return result
        if not asking():
            operation.close()
            raise RuntimeError("an operation on the database waited for something else")
        try:
            step, given = operation.send, (yield awaited)
        except BaseException as error:  # noqa: BLE001  it is the operation's
            step, given = operation.throw, error
