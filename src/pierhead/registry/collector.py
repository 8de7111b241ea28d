"""Collecting blobs that nobody needs, while the registry serves.

Rules
- Only what has a row in `unreferenced_blobs` is ever looked at; whoever makes a blob unreferenced writes one.
- One transaction looks at some of them again and lets go of what no manifest needs and nobody counts on. With the last
  repository that holds a blob goes its row, and its key is doomed. Whoever would name the blob meanwhile waits for that
  transaction, or has it wait, by the locks of `metadata/locks`.
- Bytes go once that is durable. Their keys are never used again, so that no removal is ever too late.
- While somebody copies the registry nothing is removed.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from functools import partial

from pierhead.blobs.store import BlobStore
from pierhead.errors import PierheadError
from pierhead.metadata import blobs as blob_rows
from pierhead.metadata import clock, copies, doomed, holds, locks, repositories, unreferenced
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.unreferenced import FIRST, Candidate
from pierhead.models import Blob, Digest, Doomed, RepositoryName
from pierhead.settings import CollectionSettings

# Rows of one transaction: a push may wait for it so long. Who hurries takes more.
_AT_ONCE, _HURRIED_AT_ONCE = 32, 128
_SEEN_AT_ONCE = 1024  # rows, where those at the front are leased
# Keys whose bytes go at once, in their order. Each directory of them is synced, and a sync holds up those of pushes: so
# keys gather until many of them are of one directory.
_KEYS_AT_ONCE, _HURRIED_KEYS_AT_ONCE = 64, 500
_GATHERED_KEYS = 4096
_NAMED_MAX = 20  # repositories that are told of one blob
_COUNTED_MAX = 100_000
_REST_MAX = 10.0  # seconds
_UNDISTURBED = 0.003  # seconds of a step in which it waits for the disk where nobody else is at work
_YIELDED = 0.75  # of the share, where all of a step was waiting for others
_LOST_MAX = 60.0  # seconds spent on removals that failed, before the store is left alone for now
_HOUR = 3_600_000_000  # microseconds


@dataclass(frozen=True, slots=True)
class Unneeded:
    """A repository that held a blob, or had noted it, and since when none of its manifests needed it."""

    repository: RepositoryName
    since: int  # microseconds since 1970


@dataclass(frozen=True, slots=True)
class Freed:
    """A blob that goes, and who let go of it last."""

    digest: Digest
    size: int  # bytes
    unneeded: tuple[Unneeded, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did."""

    examined: int = 0  # rows
    freed: tuple[Freed, ...] = ()
    removed: int = 0  # keys whose bytes are gone
    paused: bool = False  # since somebody copies the registry

    @property
    def bytes(self) -> int:
        return sum(freed.size for freed in self.freed)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits."""

    due: bool  # whether there is something to look at, leased or not
    doomed: int  # keys whose bytes are to be removed; at most 100,000 are counted
    oldest: int | None  # microseconds since the oldest row was written, due or not

    @property
    def any(self) -> bool:
        return self.due or self.doomed > 0


@dataclass(frozen=True, slots=True)
class _Named:
    """Candidates, with what their repositories were called then, and the row that was seen last."""

    candidates: Sequence[Candidate]
    repositories: dict[int, RepositoryName]
    last: Candidate | None  # None where there are no more


@dataclass(frozen=True, slots=True)
class _Previewed:
    freed: Freed
    held: bool  # by some repository


class Collector:
    def __init__(self, database: Database, store: BlobStore, settings: CollectionSettings, *, copied: bool) -> None:
        self._database = database
        self._store = store
        self._settings = settings
        self._copied = copied  # whether the store keeps copies of what is in rows

    async def backlog(self) -> Backlog:
        async def look(tx: Transaction) -> Backlog:
            now = await clock.read(tx)
            since = await unreferenced.oldest(tx)
            waiting = await doomed.count(tx, limit=_COUNTED_MAX)
            oldest = None if since is None else now - since
            return Backlog(oldest is not None and oldest >= self._grace(None), waiting, oldest)

        return await self._database.read(look)

    async def run(self, *, grace_hours: float | None = None, rests: bool = True) -> AsyncGenerator[Step, None]:
        """Collects what may go now, step by step, each row once. May be left, or die, between any two of them.

        It rests after each step, unless it is told not to. Harmless at once with others. What the removal of bytes
        raised is raised at the end.
        """
        rows, keys = (_AT_ONCE, _KEYS_AT_ONCE) if rests else (_HURRIED_AT_ONCE, _HURRIED_KEYS_AT_ONCE)
        removal = _Removal(self._database, self._store, at_once=keys)
        after: Candidate | None = FIRST
        gathered = 0  # keys, about
        while after is not None or removal.more:
            began = time.monotonic(), time.process_time()
            if after is not None and gathered < _GATHERED_KEYS:
                step, after = await self.collect(after, grace_hours=grace_hours, at_once=rows)
                gathered += len(step.freed)
                removal.more |= bool(step.freed)
            else:
                step = Step(removed=await removal.step())
                gathered = gathered if removal.more else 0
            yield step
            if rests:
                took, computed = time.monotonic() - began[0], time.process_time() - began[1]
                await asyncio.sleep(rest_after(took, computed, share=self._settings.share))
        if removal.failures:
            raise removal.failures[0]

    async def collect(
        self, after: Candidate = FIRST, *, grace_hours: float | None = None, at_once: int = _HURRIED_AT_ONCE
    ) -> tuple[Step, Candidate | None]:
        """Looks at some rows past one, in one transaction, and returns the last; None where there are no more."""
        grace = self._grace(grace_hours)
        named = await self._database.read(partial(_due, after=after, grace=grace, at_once=at_once))
        if not named.candidates:
            return Step(), named.last
        step = await self._database.write(partial(self._collect, named=named, grace=grace))
        return step, None if step.paused else named.last

    async def _collect(self, tx: Transaction, named: _Named, grace: int) -> Step:
        digests = sorted({one.digest for one in named.candidates})
        whole = {lock for name in named.repositories.values() for lock in locks.whole_repository(name)}
        await tx.lock(*map(locks.blob, digests), *whole, locks.removing(shared=True))
        if await holds.held(tx):
            return Step(paused=True)
        kept = await repositories.keep_names(tx, list(named.repositories))
        ours = [one for one in named.candidates if kept.get(one.repository_id) == named.repositories[one.repository_id]]
        now = await clock.read(tx)
        due = await unreferenced.look(tx, ours, before=now - grace, now=now)
        await unreferenced.drop(tx, list(due))
        unneeded = [one for one, needed in due.items() if not needed]
        await blob_rows.release_all(tx, [one.pair for one in unneeded])
        going = await unreferenced.nobodys(tx, sorted({one.digest for one in unneeded}))
        await self._remove(tx, going)
        return Step(len(named.candidates), tuple(_freed(blob, unneeded, kept) for blob in going))

    async def _remove(self, tx: Transaction, going: Sequence[Blob]) -> None:
        """Their rows. Their bytes only once that is durable."""
        if self._copied:
            await copies.owe_gone(tx, [blob.digest for blob in going if blob.inline])
        await doomed.add(tx, going)
        await blob_rows.remove(tx, [blob.digest for blob in going])

    async def preview(self, *, grace_hours: float | None = None) -> AsyncGenerator[Freed, None]:
        """What a run right after would free. Only reads.

        Blobs that nobody holds are remembered on the way, as nothing else tells that they were told of.
        """
        grace, after = self._grace(grace_hours), FIRST
        told: set[Digest] = set()
        while (named := await self._database.read(partial(_due, after=after, grace=grace))).last is not None:
            for one in await self._database.read(partial(_previewed, candidates=named.candidates, grace=grace)):
                if one.held or one.freed.digest not in told:
                    yield one.freed
                if not one.held:
                    told.add(one.freed.digest)
            after = named.last

    def _grace(self, hours: float | None) -> int:
        return int((self._settings.grace_hours if hours is None else hours) * _HOUR)


def rest_after(took: float, computed: float, *, share: float) -> float:
    """Seconds after a step. One that took much longer than it computed waited for others, as they did for it."""
    waited = max(0.0, took - computed - _UNDISTURBED) / max(took, _UNDISTURBED)
    return min(_REST_MAX, took * (1 / (share * (1 - waited * _YIELDED)) - 1))


class _Removal:
    """Of the bytes of doomed keys. Those that cannot be removed hold up no others, in this run or a later one."""

    def __init__(self, database: Database, store: BlobStore, *, at_once: int) -> None:
        self._database = database
        self._store = store
        self._at_once = at_once  # keys
        self._after = ""  # what is up to here stays for now
        self._lost = 0.0  # seconds
        self.failures: list[PierheadError] = []
        self.more = True  # perhaps

    async def step(self) -> int:
        """Removes some, and returns how many."""
        self.more = False
        keys = await self._database.read(partial(_doomed, after=self._after, at_once=self._at_once))
        if not keys or self._lost > _LOST_MAX:
            return 0
        self.more = True
        removed = keys if await self._try(keys) else [key for key in keys if await self._try([key])]
        if stuck := set(keys).difference(removed):
            self._after = max(key.key for key in stuck)
        await self._database.write(partial(doomed.settle, removed=removed), durable=False)
        return len(removed)

    async def _try(self, keys: Sequence[Doomed]) -> bool:
        """Of a store that is away each failure takes its time, of a single file that is in a bad way none."""
        if self._lost > _LOST_MAX:
            return False
        began = time.monotonic()
        try:
            await self._store.remove(keys)
        except PierheadError as failure:
            self._lost += time.monotonic() - began
            self.failures = self.failures or [failure]
            return False
        return True


async def _doomed(tx: Transaction, after: str, at_once: int) -> Sequence[Doomed]:
    """None while somebody copies: what a row named when that began must be there to its end."""
    return [] if await holds.held(tx) else await doomed.page(tx, after, limit=at_once)


async def _due(tx: Transaction, after: Candidate, grace: int, at_once: int = _HURRIED_AT_ONCE) -> _Named:
    now = await clock.read(tx)
    for limit in (at_once, _SEEN_AT_ONCE):
        page = await unreferenced.page(tx, after, before=now - grace, limit=limit)
        candidates = [one for one, leased_until in page if leased_until <= now][:at_once]
        if candidates or len(page) < limit:
            break
    # Those that are leased are passed over once in a run, however many they are.
    last = candidates[-1] if len(candidates) == at_once else page[-1][0] if page else None
    return _Named(candidates, await repositories.names(tx, sorted({one.repository_id for one in candidates})), last)


async def _previewed(tx: Transaction, candidates: Sequence[Candidate], grace: int) -> list[_Previewed]:
    """What goes at one of these: at the last row of those who hold it, or at any where nobody does."""
    now = await clock.read(tx)
    digests = sorted({one.digest for one in candidates})
    going = {blob.digest: blob for blob in await unreferenced.going(tx, digests, before=now - grace, now=now)}
    found = []
    for one in candidates:
        if (blob := going.get(one.digest)) is None:
            continue
        holders = await unreferenced.of_holders(tx, one.digest, limit=_NAMED_MAX)
        if not holders or holders[0] == one:
            rows = holders or [one]
            names = await repositories.names(tx, sorted({row.repository_id for row in rows}))
            found.append(_Previewed(_freed(blob, rows, names), held=bool(holders)))
    return found


def _freed(blob: Blob, unneeded: Sequence[Candidate], names: dict[int, RepositoryName]) -> Freed:
    last = sorted((one for one in unneeded if one.digest == blob.digest), reverse=True)[:_NAMED_MAX]
    return Freed(blob.digest, blob.size, tuple(Unneeded(names[one.repository_id], one.since) for one in last))
