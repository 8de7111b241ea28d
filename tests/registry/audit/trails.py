"""A registry with an audit trail, and what its tests do with it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from pierhead.access_settings import AuditSettings
from pierhead.metadata import events, seals
from pierhead.metadata.database import Copyable, Transaction, Value
from pierhead.metadata.trail import Filters
from pierhead.models import Actor
from pierhead.registry.audit import Audit
from pierhead.registry.audit.chain import Statement
from pierhead.registry.audit.verifying import Verified
from tests.contracts.database import Place

ALICE = Actor("alice", credential="basic", address="192.0.2.1", agent="docker/29", request_id="r1")
ALL = Filters()


@asynccontextmanager
async def trail(place: Place, **settings: Any) -> AsyncIterator[tuple[Audit, Copyable]]:
    async with place.open() as database:
        yield Audit(database, AuditSettings(**settings)), database


async def happen(database: Copyable, count: int = 1, action: str = "grant.added", actor: Actor = ALICE) -> None:
    async def write(tx: Transaction) -> None:
        for number in range(count):
            await events.record_change(tx, action, f"grant:{number}", actor, details={"number": number})

    await database.write(write)


async def sealed(audit: Audit, database: Copyable, count: int) -> None:
    """So many events, sealed, with a head."""
    await happen(database, count)
    await audit.sealing.run()
    await audit.sealing.sign(now=True)


async def heads(database: Copyable) -> list[Statement]:
    found = await database.read(partial(seals.heads, limit=10_000))
    return [Statement.read(one.said, one.signature) for one in found]


async def change(database: Copyable, sql: str, **parameters: Value) -> None:
    """What somebody does who may write to the database, beside the program."""

    async def write(tx: Transaction) -> None:
        await tx.execute(sql, **parameters)

    await database.write(write)


def faults(found: Verified) -> list[str]:
    return [f"{one.sequence}: {one.text}" for one in found.faults]
