"""Processes on one store, some of which are killed; and what is so once they have ended.

Seeds repeat what each process chooses to do. When it does so, and who is killed in the middle of what, is up to the
machine.
"""

import asyncio
import hashlib
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from pierhead import backends, places
from pierhead.blobs.store import BlobStore, Lists, MarksDigests
from pierhead.errors import BlobMissing, NotInTrash, ProjectUnknown
from pierhead.metadata.database import Transaction
from pierhead.moving.side import Side
from pierhead.settings import Settings
from tests.histories import invariants, player, records
from tests.histories.hands import ACTOR, Hands
from tests.histories.judging import Judge, by_stage, failures
from tests.histories.player import Client, Part, Stage
from tests.histories.records import Act, Recorder

PROCESSES = 4
KILL_SECONDS = 1.5  # between two kills by somebody else, on average
DECIDED_SECONDS = 5.0  # after a death, what the process was at is done or will never be
JOIN_SECONDS = 60

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "tests.histories.player",
        "pierhead.metadata.postgresql.database",
        "pierhead.blobs.objects.store",
        "pierhead.blobs.objects.s3",
    ]
)


@dataclass(slots=True)
class _Member:
    process: ForkServerProcess
    number: int
    died: float = 0


@dataclass(slots=True)
class Crew:
    settings: Settings
    folder: Path
    seed: int
    stages: list[Stage]
    environment: dict[str, str] = field(default_factory=dict)
    deaths: int = 0
    _members: list[_Member] = field(default_factory=list)
    _past: list[_Member] = field(default_factory=list)

    async def play(self, seconds: float) -> None:
        """Lets processes work for so long, looking at what has to be so meanwhile, and replaces those that die."""
        until = time.monotonic() + seconds
        chance = random.Random(self.seed)
        killing = time.monotonic() + chance.expovariate(1 / KILL_SECONDS)
        async with opened(self.settings) as side:
            try:
                while time.monotonic() < until:
                    await asyncio.to_thread(self._man, until)
                    if time.monotonic() > killing and self._members:
                        chance.choice(self._members).process.kill()
                        killing = time.monotonic() + chance.expovariate(1 / KILL_SECONDS)
                    await look(side)
                    await asyncio.sleep(0.1)
                await asyncio.to_thread(self._end)
            finally:
                for member in self._members:
                    member.process.kill()
            await look(side)

    def _man(self, until: float) -> None:
        for member in list(self._members):
            if not member.process.is_alive():
                self._members.remove(member)
                self._bury(member)
        while len(self._members) < PROCESSES:
            number = len(self._past) + len(self._members) + 1
            part = Part(
                self.settings,
                self.folder,
                number,
                f"{self.seed} {number}",
                tuple(stage.number for stage in self.stages),
                until,
                mortal=True,
                environment=self.environment,
            )
            process = _context.Process(target=player.play, args=(part,), daemon=True)
            process.start()
            self._members.append(_Member(process, number))

    def _end(self) -> None:
        for member in self._members:
            member.process.join(JOIN_SECONDS)
            assert not member.process.is_alive(), "a process did not come to its end"
            self._bury(member)
        self._members.clear()

    def _bury(self, member: _Member) -> None:
        member.process.join()
        member.died = time.monotonic()
        self._past.append(member)
        killed = member.process.exitcode == -9
        assert killed or member.process.exitcode == 0, f"process {member.number} ended by itself: see what it printed"
        self.deaths += killed

    def acts(self) -> list[Act]:
        found: list[Act] = []
        for member in self._past:
            path = self.folder / f"{member.number:06}"
            if path.exists():
                found += records.read(path, member.died + DECIDED_SECONDS)
        last = self.folder / "last"
        return [*found, *(records.read(last, time.monotonic()) if last.exists() else [])]

    async def look_at_all(self) -> None:
        """Everything that can be seen now, as somebody reads it who comes last."""
        async with places.registry(self.settings) as registry:
            part = Part(self.settings, self.folder, 0, "", (), 0, mortal=False, environment={})
            client = Client(Hands(registry), Recorder(self.folder / "last"), random.Random(0), part, self.stages)
            for stage in self.stages:
                for repository in stage.repositories:
                    await client.look_at_all(stage, repository)

    def judge(self) -> tuple[list[str], Counter[str]]:
        """What cannot have been so, and how much was looked at."""
        acts = self.acts()
        found, looked = failures(acts), Counter[str]()
        for stage, own in by_stage(acts, self.stages).items():
            judge = Judge(stage, self.settings.uploads.lease_seconds, own)
            found += judge.violations()
            looked += judge.kept
        return found, looked

    async def clear(self) -> list[str]:
        """Deletes, purges and collects everything; what is left then is lost for ever, in words."""
        async with places.registry(self.settings) as registry:
            for stage in self.stages:
                with suppress(ProjectUnknown):
                    await registry.trash.delete_project(stage.project, actor=ACTOR)
            while page := await registry.trash.page(size=100):
                for listed in page:
                    with suppress(NotInTrash):  # gone with what it pointed to
                        await registry.trash.purge(listed.entry.id, actor=ACTOR)
            # Until the last lease is over.
            await asyncio.sleep(player.GRANTED * self.settings.uploads.lease_seconds + 0.1)
            await player.collect(registry.collector)
            if registry.copies:
                while await registry.copies.pay():
                    pass
        async with opened(self.settings) as side:
            return [*await side.database.read(invariants.left_over), *await self._lost(side.store)]

    async def _lost(self, store: BlobStore) -> list[str]:
        """Bytes that no row names, but those of pushes whose process died before it could write one."""
        dying = Counter(act.asked["digest"] for act in self.acts() if act.what == "push" and act.doubt)
        lost = []
        assert isinstance(store, Lists)
        async for kept in store.listed():
            digest = await _digest(store, kept.key)
            dying[digest] -= 1
            if dying[digest] < 0:
                lost.append(f"{kept.key}: {digest}")
        if isinstance(store, MarksDigests):
            lost += [f"a mark: {mark.key}: {mark.digest}" async for mark in store.marks()]
        return lost


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Side]:
    async with backends.existing_database(settings) as database, backends.store(settings) as store:
        yield Side(database, store)


async def look(side: Side) -> None:
    """What has to be so at every moment."""
    broken = await side.database.read(invariants.broken)
    assert broken == []
    for digest, key, size in await side.database.read(_keys):
        try:
            reader = await side.store.open(key)
        except BlobMissing:
            row = await side.database.read(partial(_key, digest=digest))
            assert row != key, f"{digest} is {key}, and there are no such bytes"
        else:
            reader.close()
            assert reader.size == size


async def _keys(tx: Transaction) -> list[Any]:
    return await tx.fetch_all("SELECT digest, key, size FROM blobs WHERE key NOT LIKE 'row:%'")


async def _key(tx: Transaction, digest: str) -> str | None:
    row = await tx.fetch_one("SELECT key FROM blobs WHERE digest = :digest", digest=digest)
    return row[0] if row else None


async def _digest(store: BlobStore, key: str) -> str:
    reader = await store.open(key)
    try:
        data = b"".join([bytes(chunk) async for chunk in reader.chunks(0, reader.size)])
    finally:
        reader.close()
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
