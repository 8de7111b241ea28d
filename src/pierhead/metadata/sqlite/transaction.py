"""A transaction on one SQLite connection, and running an operation on it to its end."""

from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, TypeVar

import apsw

from pierhead.metadata.database import Row, Value
from pierhead.metadata.locks import Lock

T = TypeVar("T")


class SqliteTransaction:
    """Answers at once; async only in name. Cursors are always read to their end."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._execute = connection.cursor().execute

    async def lock(self, *locks: Lock) -> None:
        """Nothing to do: whoever writes here is alone."""

    async def fetch_all(self, sql: str, **parameters: Value) -> list[Row]:
        return self._execute(sql, parameters).fetchall()

    async def fetch_one(self, sql: str, **parameters: Value) -> Row | None:
        rows = self._execute(sql, parameters).fetchall()
        return rows[0] if rows else None

    async def execute(self, sql: str, **parameters: Value) -> int:
        self._execute(sql, parameters).fetchall()
        return self._connection.changes()

    async def execute_many(self, sql: str, rows: Iterable[Mapping[str, Value]]) -> None:
        self._connection.cursor().executemany(sql, rows).fetchall()


def complete(operation: Coroutine[Any, Any, T]) -> T:
    """Runs an operation that only awaits its transaction."""
    try:
        operation.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    operation.close()
    raise RuntimeError("an operation on the database waited for something else")
