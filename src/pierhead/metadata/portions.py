"""Asking for many values with few statements, and few texts of statements: a database keeps each that it prepared."""

from collections.abc import Iterable

from pierhead.metadata.database import Transaction, Value
from pierhead.models import Digest

_MOST = 64


async def absent(tx: Transaction, sql: str, digests: Iterable[Digest], **parameters: Value) -> list[Digest]:
    """Those that `sql` (a SELECT of a digest that ends in `digest IN`) does not find."""
    wanted = list(digests)
    found: set[str] = set()
    for start in range(0, len(wanted), _MOST):
        portion = _padded(wanted[start : start + _MOST])
        names = [f"d{number}" for number in range(len(portion))]
        text = f"{sql} ({', '.join(f':{name}' for name in names)})"
        found.update(row[0] for row in await tx.fetch_all(text, **dict(zip(names, portion, strict=True)), **parameters))
    return [digest for digest in wanted if digest not in found]


def _padded(portion: list[Digest]) -> list[Digest]:
    """As many as a power of two, the last one again and again."""
    length = 1 << (len(portion) - 1).bit_length()
    return portion + portion[-1:] * (length - len(portion))
