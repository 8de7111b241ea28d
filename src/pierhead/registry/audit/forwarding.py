"""Handing events and heads on to where the database is not: a file, a syslog server, a file of heads.

Each place has a row that says how far it got, which is written once what was sent has arrived. So nothing is left
out, and what was under way when a process died is sent again. Events go by their number in the chain, without gaps.
"""

import asyncio
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pierhead.access_settings import AuditSettings
from pierhead.errors import ForwardFailed
from pierhead.metadata import seals, trail
from pierhead.metadata.database import Database, Transaction
from pierhead.registry.audit import telling
from pierhead.registry.audit.chain import Statement
from pierhead.registry.audit.syslog import Syslog
from pierhead.threads import finished

_AT_ONCE = 500


class Forwarding:
    def __init__(self, database: Database, settings: AuditSettings) -> None:
        self._database = database
        self._file = settings.file
        self._heads_file = settings.heads_file
        self._syslog = Syslog(settings.syslog, settings.syslog_ca) if settings.syslog else None
        # What is handed on under which name.
        self._events = [*["file"] * (self._file is not None), *["syslog"] * (self._syslog is not None)]
        self._heads = [*["heads"] * (self._heads_file is not None), *["syslog-heads"] * (self._syslog is not None)]

    @property
    def on(self) -> bool:
        return bool(self._events or self._heads)

    async def behind(self) -> dict[str, int]:
        """How many events each place does not have yet."""

        async def behind(tx: Transaction) -> dict[str, int]:
            chain = await seals.chain(tx)
            return {name: chain.sequence - await seals.reached(tx, name) for name in self._events}

        return await self._database.read(behind)

    async def wanted(self) -> bool:
        async def wanted(tx: Transaction) -> bool:
            chain, head = await seals.chain(tx), await seals.last_head(tx)
            last = head.number if head else 0
            return any([await seals.reached(tx, name) < chain.sequence for name in self._events]) or any(
                [await seals.reached(tx, name) < last for name in self._heads]
            )

        return await self._database.read(wanted)

    async def upto(self) -> int:
        """The number of the last event that every place has: older ones may go."""

        async def upto(tx: Transaction) -> int:
            chain = await seals.chain(tx)
            return min([chain.sequence, *[await seals.reached(tx, name) for name in self._events]])

        return await self._database.read(upto)

    async def run(self) -> None:
        """Hands on what there is, to every place that takes it. Raises ForwardFailed for those that do not."""
        refused = []
        places = [(name, self._hand_on_events) for name in self._events]
        places += [(name, self._hand_on_heads) for name in self._heads]
        for name, hand_on in places:
            try:
                while await hand_on(name):
                    pass
            except TimeoutError:
                refused.append(f"{name}: it did not take them within ten seconds")
            except OSError as error:
                refused.append(f"{name}: {error}")
        if refused:
            raise ForwardFailed("; ".join(refused))

    async def _hand_on_events(self, name: str) -> int:
        reached = await self._database.read(partial(seals.reached, name=name))
        events = await self._database.read(partial(trail.after, sequence=reached, limit=_AT_ONCE))
        if not events:
            return 0
        if name == "file":
            await self._append(self._file, [telling.json_line(one) for one in events])
        elif self._syslog:
            await self._syslog.send([telling.syslog_event(one) for one in events])
        last = events[-1].sequence
        assert last is not None  # noqa: S101  they have a place in the chain
        await self._database.write(lambda tx: seals.reach(tx, name, last))
        return len(events)

    async def _hand_on_heads(self, name: str) -> int:
        reached = await self._database.read(partial(seals.reached, name=name))
        heads = await self._database.read(partial(seals.heads, after=reached, limit=_AT_ONCE))
        if not heads:
            return 0
        told = [Statement.read(one.said, one.signature) for one in heads]
        if name == "heads":
            await self._append(self._heads_file, [one.line() for one in told])
        elif self._syslog:
            await self._syslog.send([telling.syslog_head(one.line(), one.at) for one in told])
        await self._database.write(lambda tx: seals.reach(tx, name, heads[-1].number))
        return len(heads)

    async def _append(self, path: Path | None, lines: Sequence[str]) -> None:
        if path is not None:
            await finished(asyncio.ensure_future(asyncio.to_thread(append, path, lines)))


def append(path: Path, lines: Sequence[str]) -> None:
    """Adds lines to a file, durably. It is opened each time, so that whoever turns logs over may rename it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        length = file.seek(0, os.SEEK_END)
        if length:
            file.seek(length - 1)
            torn = file.read(1) != b"\n"  # whoever wrote last did not come to the end of a line
            file.seek(0, os.SEEK_END)
        else:
            torn = False
        file.write(b"\n" * torn + "".join(f"{line}\n" for line in lines).encode())
        file.flush()
        os.fsync(file.fileno())
    if not length:
        _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
