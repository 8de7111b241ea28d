"""A registry that a history happens in, and its time, which stands still until somebody moves it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pierhead.blobs.files import FileStore
from pierhead.metadata.database import Copyable, Transaction
from pierhead.registry.clock import Clock
from pierhead.registry.registry import Registry
from pierhead.settings import (
    CacheSettings,
    CollectionSettings,
    Settings,
    StorageSettings,
    TrashSettings,
    UploadSettings,
)
from tests.contracts.database import Place
from tests.histories.hands import Hands
from tests.histories.works import INLINE_BYTES

T = TypeVar("T")
SECOND = 1_000_000
HOUR = 3600 * SECOND
NODES = 2
# Whatever holds rows, those that others refer to last; the rest goes with these.
TABLES = (
    "jobs",
    "owed_copies",
    "owed_marks",
    "uploads",
    "doomed_keys",
    "pins",
    "tags",
    "tag_history",
    "trash_tags",
    "manifests",
    "manifest_contents",
    "unreferenced_blobs",
    "repository_blobs",
    "blobs",
    "events",
)


def settings(*, lease: float, keep_hours: float, grace_hours: float, copies: bool = False) -> Settings:
    """Nothing is remembered but rows, so that what is read is what is there."""
    return Settings(
        uploads=UploadSettings(lease_seconds=lease),
        trash=TrashSettings(keep_hours=keep_hours),
        collection=CollectionSettings(grace_hours=grace_hours),
        storage=StorageSettings(inline_bytes=INLINE_BYTES, min_free_bytes=0, copies="always" if copies else "never"),
        cache=CacheSettings(content_bytes=0),
    )


@dataclass(slots=True)
class Still:
    """A clock that somebody else moves; microseconds since 1970."""

    now: int = 1_800_000_000 * SECOND


class StillClock(Clock):
    """The database's clock, as every node has it."""

    def __init__(self, still: Still) -> None:
        self._still = still

    async def look(self) -> None: ...

    async def look_now_and_then(self) -> None: ...

    def now(self) -> int:
        return self._still.now


@dataclass(slots=True)
class World:
    """Nodes of one registry, of which each has its own connections; `still` is their time."""

    place: Place
    loop: asyncio.AbstractEventLoop
    databases: list[Copyable]
    store: FileStore
    settings: Settings
    folder: Path
    still: Still
    hands: list[Hands]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @property
    def look_every(self) -> int:
        """So many steps: to read everything costs a hundred questions, each of which is a round trip elsewhere."""
        return 1 if self.place.kind == "sqlite" else 4

    async def tell_time(self) -> None:
        """To a database that has no other way of knowing; SQLite asks this process."""
        if self.place.kind != "sqlite":
            await self.databases[0].write(partial(_set_clock, now=self.still.now), durable=False)

    async def empty(self) -> None:
        """Forgets everything that happened, and what it left."""
        for path in self.folder.glob("blobs/*/*/*"):
            path.unlink()
        async with self.databases[0].fill() as tx:
            await tx.execute("UPDATE repositories SET trash_id = NULL")
            await tx.execute("UPDATE projects SET trash_id = NULL")
            await tx.execute("UPDATE manifests SET trash_id = NULL")
            for table in (*TABLES, "trash", "repositories", "projects"):
                await tx.execute(f"DELETE FROM {table}")
        await self.tell_time()
        self.hands = [Hands(_registry(database, self)) for database in self.databases]

    def files(self) -> list[str]:
        """The keys under which there are bytes."""
        root = self.folder / "blobs"
        return [str(path.relative_to(root)) for path in root.glob("*/*/*")]


def _registry(database: Copyable, world: World) -> Registry:
    copies = world.store if world.settings.storage.wants_copies else None
    registry = Registry(database, world.store, world.settings, copies=copies)
    clock = StillClock(world.still)
    registry.blobs._clock = registry.uploads._clock = clock
    return registry


@asynccontextmanager
async def opened(place: Place, folder: Path, chosen: Settings, still: Still) -> AsyncIterator[World]:
    """The caller sees to it that the database has the time of `still`."""
    async with AsyncExitStack() as stack:
        databases: list[Any] = [await stack.enter_async_context(place.open()) for _ in range(NODES)]
        store = await stack.enter_async_context(FileStore(folder, chosen.storage))
        world = World(place, asyncio.get_running_loop(), databases, store, chosen, folder, still, [])
        await world.empty()
        yield world


async def _set_clock(tx: Transaction, now: int) -> None:
    await tx.execute("UPDATE still SET now = :now", now=now)
