"""Opening the registries that a command of upkeep is about, with the locks that keep others out.

What is copied, and how, is in `moving`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pierhead import backends, configuration
from pierhead.access import explaining
from pierhead.access.explaining import Explained
from pierhead.accounts.accounts import Accounts
from pierhead.blobs.files import FileStore
from pierhead.data_directory import ServeLock, alone, prepare
from pierhead.errors import ConfigurationError
from pierhead.metadata import blobs as blob_rows
from pierhead.metadata import damage as damage_rows
from pierhead.metadata import moves, scrubs
from pierhead.metadata.scrubs import Scrubbed
from pierhead.metadata.unreferenced import Lease
from pierhead.models import Blob, RepositoryName
from pierhead.moving import backup as backups
from pierhead.moving import grow as growth
from pierhead.moving import restore as restoring
from pierhead.moving.check import Check, How
from pierhead.moving.findings import Report
from pierhead.moving.progress import Progress
from pierhead.moving.rebuild import Rebuilding, Rebuilt
from pierhead.moving.repair import Repairs
from pierhead.moving.side import Copied, Side
from pierhead.registry import scrub
from pierhead.registry.damage import Damage
from pierhead.registry.pace import Pace
from pierhead.registry.registry import Registry
from pierhead.settings import DatabaseSettings, ServerSettings, Settings
from pierhead.verbs import Verb

_DAMAGED = 1000  # blobs of a page
_HOLDERS = 3


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


@dataclass(frozen=True, slots=True)
class Checking:
    """What is asked of a check."""

    deep: bool = False
    repair: bool = False
    rate: int | None = None  # bytes a second, 0: no limit, None: as the settings say
    source: Settings | None = None  # another registry that may have what is damaged here


async def check(settings: Settings, asked: Checking, progress: Progress) -> Report:
    """Raises ConfigurationError, StorageFailed, MetadataUnavailable."""
    async with AsyncExitStack() as stack:
        side = await stack.enter_async_context(_registry(settings))
        await moves.require_whole(side.database)
        source = await stack.enter_async_context(_registry(asked.source)) if asked.source else None
        if source is not None:
            await moves.require_whole(source.database)
        rate = settings.scrub.rate_bytes if asked.rate is None else asked.rate
        files = backends.files(settings)
        how = How(
            deep=asked.deep,
            pace=Pace(rate),
            sparse=settings.manifests.allow_sparse,
            # What an unfinished backup brought is named by rows of its own.
            removes=files is None or not (files / backups.UNFINISHED).exists(),
        )
        repairs = _repairs(settings, side, source) if asked.repair else None
        return await Check(side, progress, how, repairs).run()


@dataclass(frozen=True, slots=True)
class Known:
    """What is damaged, as far as anybody found, and how far the scrub is."""

    damaged: list[tuple[Blob, list[RepositoryName]]]  # with some that hold it
    scrub: Scrubbed | None
    coverage: float  # of this cycle, from 0 to 1


async def known_damage(settings: Settings) -> Known:
    async with _registry(settings) as side:
        blobs: list[Blob] = []
        while page := await side.database.read(
            partial(damage_rows.page, after=blobs[-1].digest if blobs else "", limit=_DAMAGED)
        ):
            blobs += page
        held = [
            await side.database.read(partial(blob_rows.holders, digest=one.digest, limit=_HOLDERS)) for one in blobs
        ]
        state = await side.database.read(scrubs.find)
        return Known(list(zip(blobs, held, strict=True)), state, scrub.coverage(state))


def _repairs(settings: Settings, side: Side, source: Side | None) -> Repairs:
    damage = Damage(side.database, side.store)
    copied = settings.storage.wants_copies
    return Repairs(side, source, damage, lease=Lease(settings.uploads.lease_seconds), copied=copied)


def another(settings: Settings, place: Path) -> Settings:
    """The registry of a directory, such as a backup, or of a configuration's file. Raises ConfigurationError."""
    return _directory(settings, place) if place.is_dir() else configuration.load(place, environment={}).settings


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


async def explain_access(settings: Settings, name: str, verb: Verb, repository: RepositoryName) -> Explained:
    """Why somebody may do something. Raises ConfigurationError, PrincipalUnknown."""
    async with _registry(settings) as side:
        return await explaining.explain(side.database, settings, name, verb, repository)


@asynccontextmanager
async def registry(settings: Settings) -> AsyncIterator[Registry]:
    """One that is there, for whoever acts in it on the spot. Raises ConfigurationError where it has moved."""
    async with _registry(settings) as side:
        await moves.require_whole(side.database)
        yield Registry(side.database, side.store, settings, copies=backends.copies(settings, side.store))


@asynccontextmanager
async def accounts(settings: Settings, *, make: bool = False) -> AsyncIterator[Accounts]:
    """Who there is in a registry, for whoever acts on the spot. With `make` one that is not there yet is made.

    Raises ConfigurationError where it has moved, or where there is none.
    """
    opening = _new if make and backends.is_missing(settings) else _registry
    async with opening(settings) as side:
        await moves.require_whole(side.database)
        yield Accounts(side.database, settings, copied=backends.copies(settings, side.store) is not None)


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
