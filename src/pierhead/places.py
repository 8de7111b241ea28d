"""Opening the registries that a command of upkeep is about, with the locks that keep others out.

What is copied, and how, is in `moving`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from pierhead import backends
from pierhead.blobs.files import FileStore
from pierhead.data_directory import ServeLock, alone, prepare
from pierhead.errors import ConfigurationError
from pierhead.metadata import moves
from pierhead.moving import backup as backups
from pierhead.moving import check as checks
from pierhead.moving import grow as growth
from pierhead.moving import restore as restoring
from pierhead.moving.progress import Progress
from pierhead.moving.rebuild import Rebuilding, Rebuilt
from pierhead.moving.side import Copied, Side
from pierhead.registry.registry import Registry
from pierhead.settings import DatabaseSettings, ServerSettings, Settings


async def back_up(settings: Settings, directory: Path, progress: Progress, *, read: bool) -> Copied:
    """The registry of these settings into a directory. Raises ConfigurationError, MoveFailed."""
    if any(_same(directory, own) for own in (settings.server.data, backends.files(settings)) if own):
        raise ConfigurationError([f"{directory} is the registry itself; choose another directory for the backup"])
    async with _registry(settings) as source:
        await moves.require_whole(source.database)
        directory = prepare(directory)
        with ServeLock(directory):
            async with FileStore(directory, settings.storage) as store:
                return await backups.back_up(source, directory, store, progress, read=read)


async def restore(settings: Settings, directory: Path, progress: Progress, *, read: bool) -> Copied:
    """A backup into the registry of these settings. Raises ConfigurationError, MoveFailed."""
    backups.require(directory)
    with ServeLock(directory):
        async with _registry(_directory(settings, directory)) as source, _new(settings) as target:
            await moves.require_whole(source.database)
            copied = settings.storage.wants_copies
            return await restoring.restore(source, target, str(directory), progress, read=read, copied=copied)


async def grow(settings: Settings, to: Settings, config: Path, progress: Progress, *, read: bool) -> growth.Grown:
    """The registry under `settings.server.data` into that of `to`, whose file is `config`.

    Raises ConfigurationError, MoveFailed.
    """
    data = settings.server.data
    here = to.server.data
    # Where nobody said so, `server.data` is a directory beside whoever runs the command.
    if None in (to.database.url, to.storage.url) and (_same(here, data) or here == ServerSettings().data):
        raise ConfigurationError([f"{config} keeps rows or bytes in {here}; it needs database.url and storage.url"])
    names = growth.Places(source=str(prepare(data)), target=str(config))
    async with _registry(_embedded(settings)) as source:
        with alone(data, "grow.lock"):
            async with _new(to) as target:
                copied = to.storage.wants_copies
                return await growth.Growth(source, target, names, progress, read=read, copied=copied).run()


async def give_up(settings: Settings) -> None:
    """Forgets a move that was cut short. Raises ConfigurationError while it goes on."""
    data = settings.server.data
    async with _registry(_embedded(settings)) as source:
        with alone(data, "grow.lock"):
            await growth.give_up(source)


async def check(settings: Settings, progress: Progress, *, read: bool) -> checks.Report:
    async with _registry(settings) as side:
        await moves.require_whole(side.database)
        return await checks.check(side, progress, read=read)


async def rebuild(settings: Settings, progress: Progress, *, read: bool) -> Rebuilt:
    """A lost database from the store. Raises ConfigurationError where it is not lost."""
    async with _new(settings) as side:
        return await Rebuilding(side, progress, read=read).run()


def _embedded(settings: Settings) -> Settings:
    """The registry of one machine, whatever the environment says of the one that it moves to."""
    url = settings.storage.url
    storage = settings.storage.model_copy(update={"url": url if url and url.startswith("file:") else None})
    return settings.model_copy(update={"database": DatabaseSettings(), "storage": storage})


def _directory(settings: Settings, directory: Path) -> Settings:
    """The registry that a backup is."""
    server = settings.server.model_copy(update={"data": directory})
    storage = settings.storage.model_copy(update={"url": None})
    return settings.model_copy(update={"server": server, "database": DatabaseSettings(), "storage": storage})


def _same(directory: Path, other: Path) -> bool:
    return directory.resolve() == other.resolve()


@asynccontextmanager
async def registry(settings: Settings) -> AsyncIterator[Registry]:
    """One that is there, for whoever acts in it on the spot. Raises ConfigurationError where it has moved."""
    async with _registry(settings) as side:
        await moves.require_whole(side.database)
        yield Registry(side.database, side.store, settings, copies=backends.copies(settings, side.store))


@asynccontextmanager
async def _registry(settings: Settings) -> AsyncIterator[Side]:
    """One that is there, whether it is being served or not."""
    async with backends.existing_database(settings) as rows, backends.store(settings) as store:
        yield Side(rows, store)


@asynccontextmanager
async def _new(settings: Settings) -> AsyncIterator[Side]:
    """One that is made where it is not there; what of it is in a directory is served by nobody meanwhile."""
    with ExitStack() as stack:
        if None in (settings.database.url, settings.storage.url):
            stack.enter_context(ServeLock(prepare(settings.server.data)))
        await asyncio.to_thread(backends.prepare, settings)
        async with backends.database(settings) as rows, backends.store(settings) as store:
            yield Side(rows, store)
