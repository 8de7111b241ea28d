"""How many bytes there are of something, whom it shares them with, and what would be free without it.

Rules
- Each digest counts once: a blob by its size, a manifest by that of its bytes.
- What is here is *shared* as soon as anything outside keeps it: another repository that holds it, a manifest
  elsewhere that needs it (one in the trash too). The rest is *exclusive*: deleted, purged and collected, it is free.
- Of what is exclusive the trash has its part (nothing but what was deleted needs it), and so have blobs that no
  manifest needs: the collector comes for those by itself.

Nothing is counted in advance. All is read from one state of the database. One that answers on the event loop is asked
in portions between which others have their turn: a stretch of digests that is as long as is read in some milliseconds.
A server is asked for everything at once, and finds its own way through it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from pierhead.errors import ManifestUnknown, ProjectUnknown, RepositoryUnknown
from pierhead.metadata import locks, repositories, sums, tags
from pierhead.metadata import manifests as manifest_rows
from pierhead.metadata import usage as rows
from pierhead.metadata.database import Copyable, Transaction
from pierhead.metadata.manifests import Held
from pierhead.metadata.usage import Part, Scope, State, Stretch, Sums
from pierhead.models import HEX_LENGTHS, Digest, RepositoryName, TagName
from pierhead.registry import removals
from pierhead.registry.deleting import Deleting
from pierhead.registry.removals import Removal

_POSITIONS = 1 << 64  # of the first half of a sha256, as a number
_FIRST_WIDTH = _POSITIONS >> 12
_SHORT, _LONG = 0.004, 0.012  # seconds that a stretch takes
_FEW = 64  # digests, for which no statement is worth its while
_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Amount:
    """So many digests, and so many bytes."""

    digests: int = 0
    bytes: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.digests + other.digests, self.bytes + other.bytes)


@dataclass(slots=True)
class Space:
    """What something takes up, each digest in one of the four."""

    shared: Amount = field(default_factory=Amount)  # something outside keeps it
    needed: Amount = field(default_factory=Amount)  # by a manifest of its own
    trash: Amount = field(default_factory=Amount)  # by nothing but what was deleted
    unneeded: Amount = field(default_factory=Amount)  # by no manifest: the collector comes for it

    @property
    def exclusive(self) -> Amount:
        """What is free once it is deleted, purged and collected."""
        return self.needed + self.trash + self.unneeded

    @property
    def total(self) -> Amount:
        return self.shared + self.exclusive

    def add(self, sums: Sums) -> int:
        """Takes more along; returns how many digests that were."""
        for state, (digests, size) in sums.items():
            self._add(state, Amount(digests, size))
        return sum(digests for digests, _ in sums.values())

    def _add(self, state: State, amount: Amount) -> None:
        setattr(self, state, getattr(self, state) + amount)


@dataclass(frozen=True, slots=True)
class Freeing:
    """What would be free without a repository: how much, and the first of it in the order of digests."""

    space: Space
    first: tuple[Part, ...]


class Usage:
    def __init__(self, database: Copyable, *, deleting: Deleting) -> None:
        self._database = database
        self._deleting = deleting

    async def of_manifest(self, name: RepositoryName, reference: Digest | TagName) -> Removal:
        """What deleting it would take along and free; of one in the trash, what purging does.

        Raises RepositoryUnknown, ManifestUnknown.
        """

        async def rehearsal(tx: Transaction) -> Removal:
            await tx.lock(locks.repository(name))
            repository_id = await repositories.identify(tx, name)
            if repository_id is None:
                raise RepositoryUnknown(name)
            manifest = await _find(tx, repository_id, reference)
            if manifest is None:
                raise ManifestUnknown(reference)
            return await removals.rehearse(tx, repository_id, manifest, deleting=self._deleting)

        return await removals.of(self._database, rehearsal)

    async def of_registry(self) -> Space:
        return await self._of(_everything)

    async def of_project(self, name: str) -> Space:
        """Its repositories, those in the trash too. Raises ProjectUnknown."""

        async def find(tx: Transaction) -> Scope:
            identity = await repositories.identify_project(tx, name)
            if identity is None:
                raise ProjectUnknown(name)
            return Scope("project", identity, wide=await rows.is_wide(tx, identity))

        return await self._of(find)

    async def of_repository(self, name: RepositoryName) -> Space:
        """Raises RepositoryUnknown."""
        return await self._of(partial(_repository, name=name))

    async def freeing(self, name: RepositoryName, *, limit: int) -> Freeing:
        """Raises RepositoryUnknown."""
        async with self._database.snapshot() as tx:
            scope = await _repository(tx, name)
            space = await self._measured(tx, scope)
            return Freeing(space, tuple(await _first_exclusive(tx, scope, limit)))

    async def _of(self, find: Callable[[Transaction], Awaitable[Scope]]) -> Space:
        async with self._database.snapshot() as tx:
            return await self._measured(tx, await find(tx))

    async def _measured(self, tx: Transaction, scope: Scope) -> Space:
        return await at_once(tx, scope) if self._database.apart else await in_stretches(tx, scope)


async def _repository(tx: Transaction, name: RepositoryName) -> Scope:
    identity = await repositories.identify(tx, name)
    if identity is None:
        raise RepositoryUnknown(name)
    return Scope("repository", identity)


async def _find(tx: Transaction, repository_id: int, reference: Digest | TagName) -> Held | None:
    digest = reference if isinstance(reference, Digest) else await tags.target(tx, repository_id, reference)
    return await manifest_rows.find(tx, repository_id, digest) if digest else None


async def _everything(_: Transaction) -> Scope:
    return Scope("registry", wide=True)


async def at_once(tx: Transaction, scope: Scope) -> Space:
    """All that a scope takes up. The transaction reads one state."""
    space = Space()
    space.add(await sums.blobs(tx, scope))
    space.add(await sums.manifests(tx, scope))
    return space


async def in_stretches(tx: Transaction, scope: Scope) -> Space:
    """The same, with turns for others."""
    space = Space()

    async def blobs(stretch: Stretch) -> int:
        return space.add(await rows.blobs(tx, scope, stretch))

    # Seldom any: what clients deleted that only the trash needs, and parts of manifests that came without them.
    not_held: set[Digest] = set()

    async def manifests(stretch: Stretch) -> int:
        found = space.add(await rows.manifests(tx, scope, stretch))
        if not scope.wide and found:
            not_held.update(await rows.not_held(tx, scope, stretch))
        return found

    await _through_all(blobs)
    await _through_all(manifests)
    others = sorted(not_held)
    for start in range(0, len(others), _AT_ONCE):
        space.add(await rows.blobs_not_held(tx, scope, others[start : start + _AT_ONCE]))
        await asyncio.sleep(0)
    return space


async def _first_exclusive(tx: Transaction, scope: Scope, limit: int) -> list[Part]:
    found: list[Part] = []

    async def look(stretch: Stretch) -> int:
        new = await rows.exclusive(tx, scope, stretch, limit=limit - len(found))
        found.extend(new)
        return len(new) if len(found) < limit else -1

    await _through_all(look)
    return found


async def _through_all(look: Callable[[Stretch], Awaitable[int]]) -> None:
    """Looks at all digests there can be, in stretches that become as long as they should be.

    Ends early where `look` says so with a number below 0.
    """
    for algorithm in HEX_LENGTHS:
        low, width = 0, _FIRST_WIDTH
        while low < _POSITIONS:
            high = min(low + width, _POSITIONS)
            began = time.perf_counter()
            found = await look(Stretch(_digest(algorithm, low), _digest(algorithm, high)))
            if found < 0:
                return
            low = high
            took = time.perf_counter() - began
            if found < _FEW:
                width *= 4 if found * 16 > _FEW else 16
            elif took < _SHORT:
                width *= 2
            elif took > _LONG and found > 2 * _FEW:
                width //= 2
            # SQLite never waits, and others on this loop have to breathe.
            await asyncio.sleep(0)


def _digest(algorithm: str, position: int) -> str:
    """Where digests begin whose first 16 digits are a number; past the last number, where all have ended."""
    return f"{algorithm}:{position:016x}" if position < _POSITIONS else f"{algorithm}:g"
