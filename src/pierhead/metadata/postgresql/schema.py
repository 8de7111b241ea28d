"""The schema in steps, which programs it takes, and taking the steps.

Each step names in its first line the oldest program that may serve a database which has it; a program is as old as
the last step that it knows. A step is safe while programs of the schema before it serve: it adds, and what it takes
away nobody has used since the step before. So nodes are replaced one after another: first the schema, then they.
"""

import asyncio
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from asyncpg import Connection
from asyncpg import exceptions as pg

from pierhead.errors import ConfigurationError

_LOCK = 0x70696572_68656164  # pierhead, among the advisory locks of the database
_HEAD = re.compile(r"-- oldest program: (\d+)\n")
# A step that waits for a long query makes all others wait behind it: better to let them pass and ask again.
_PATIENCE = "SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = 0"
_TRIES = 30
_PAUSE_SECONDS = 1.0
_STEPS_TABLE = """
    CREATE TABLE IF NOT EXISTS pierhead_schema (
        step     INTEGER PRIMARY KEY,
        oldest   INTEGER NOT NULL, -- program that may serve from this step on
        taken_at TIMESTAMPTZ NOT NULL DEFAULT now()
    )
"""


@dataclass(frozen=True, slots=True)
class Step:
    number: int
    oldest: int
    name: str
    sql: str


@cache
def steps() -> tuple[Step, ...]:
    folder = files("pierhead.metadata.postgresql").joinpath("steps")
    return tuple(_step(path.name, path.read_text()) for path in sorted(folder.iterdir(), key=lambda path: path.name))


def _step(name: str, text: str) -> Step:
    head = _HEAD.match(text)
    assert head is not None, name  # noqa: S101  every step is of this program
    return Step(int(name[:4]), int(head[1]), name, text)


def newest() -> int:
    return steps()[-1].number


async def refusal(connection: Connection) -> str | None:
    """Why this program may not serve the database; None where it may."""
    try:
        row = await connection.fetchrow("SELECT step, oldest FROM pierhead_schema ORDER BY step DESC LIMIT 1")
    except pg.UndefinedTableError:
        row = None
    if row is None:
        return "the database is empty; run pierhead migrate"
    step, oldest = row
    if step < newest():
        return f"the database has schema {step}, this program needs {newest()}; run pierhead migrate"
    if oldest > newest():
        return (
            f"the database has schema {step}, which programs older than schema {oldest} may not serve; "
            f"this one knows {newest()}: start a later version"
        )
    return None


async def is_empty(connection: Connection) -> bool:
    """Whether no program has used the database. Raises ConfigurationError where another one does."""
    tables = [
        name
        for (name,) in await connection.fetch(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = "
            "(SELECT oid FROM pg_namespace WHERE nspname = current_schema())"
        )
    ]
    if tables and "pierhead_schema" not in tables:
        raise ConfigurationError(
            [f"database.url: another program has tables there ({min(tables)} …); create a database for this one alone"]
        )
    return not tables


async def create(connection: Connection) -> None:
    """Makes the whole schema at once, so that nobody finds half of it; nothing where somebody was first."""
    async with connection.transaction():
        await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
        if await is_empty(connection):
            await connection.execute(_STEPS_TABLE)
            for step in steps():
                await _take(connection, step)


async def migrate(connection: Connection) -> list[str]:
    """Takes the steps that are missing, each in a transaction of its own, and returns their names.

    Any number of programs may do so at once.
    """
    await is_empty(connection)
    taken: list[str] = []
    while (name := await _patiently(connection)) is not None:
        taken.append(name)
    return taken


async def _patiently(connection: Connection) -> str | None:
    for _ in range(_TRIES):
        try:
            return await _next(connection)
        except (pg.LockNotAvailableError, pg.DeadlockDetectedError):
            await asyncio.sleep(_PAUSE_SECONDS)
    return await _next(connection)


async def _next(connection: Connection) -> str | None:
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock({_LOCK}); {_PATIENCE}")
        await connection.execute(_STEPS_TABLE)
        done = await connection.fetchval("SELECT coalesce(max(step), 0) FROM pierhead_schema")
        step = next((step for step in steps() if step.number > done), None)
        if step is None:
            return None
        await _take(connection, step)
        return step.name


async def _take(connection: Connection, step: Step) -> None:
    await connection.execute(step.sql)
    await connection.execute("INSERT INTO pierhead_schema (step, oldest) VALUES ($1, $2)", step.number, step.oldest)
