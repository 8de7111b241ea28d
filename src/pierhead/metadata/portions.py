"""Asking for many values with few statements, and few texts of statements: a database keeps each that it prepared."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from pierhead.metadata.database import Row, Transaction, Value
from pierhead.models import Digest

_MOST = 64
T = TypeVar("T")


async def absent(tx: Transaction, sql: str, digests: Iterable[Digest], **parameters: Value) -> list[Digest]:
    """Those that `sql` (a SELECT of a digest with `digest IN ?`) does not find."""
    wanted = list(digests)
    found = {row[0] for row in await among(tx, sql, wanted, **parameters)}
    return [digest for digest in wanted if digest not in found]


async def among(tx: Transaction, sql: str, values: Sequence[Value], **parameters: Value) -> list[Row]:
    """The rows of `sql`, a SELECT with `IN ?`, for all of these values, none of which is there twice."""
    rows: list[Row] = []
    for start in range(0, len(values), _MOST):
        portion = _padded(values[start : start + _MOST])
        names = [f"d{number}" for number in range(len(portion))]
        text = sql.replace("IN ?", f"IN ({', '.join(f':{name}' for name in names)})")
        rows += await tx.fetch_all(text, **dict(zip(names, portion, strict=True)), **parameters)
    return rows


async def of_pairs(tx: Transaction, sql: str, pairs: Sequence[tuple[int, str]], **parameters: Value) -> list[Row]:
    """The rows of `sql`, a SELECT from `picked (repository_id, digest)`, for all of these; the last may come twice."""
    rows: list[Row] = []
    for start in range(0, len(pairs), _MOST):
        portion = _padded(pairs[start : start + _MOST])
        named: dict[str, Value] = {}
        for number, (repository_id, digest) in enumerate(portion):
            named |= {f"r{number}": repository_id, f"d{number}": digest}
        places = ", ".join(f"(CAST(:r{n} AS BIGINT), CAST(:d{n} AS TEXT))" for n in range(len(portion)))
        picked = f"WITH picked (repository_id, digest) AS (VALUES {places})"
        rows += await tx.fetch_all(f"{picked} {sql}", **named, **parameters)
    return rows


def _padded(portion: Sequence[T]) -> list[T]:
    """As many as a power of two, the last one again and again."""
    length = 1 << (len(portion) - 1).bit_length()
    return [*portion, *[portion[-1]] * (length - len(portion))]
