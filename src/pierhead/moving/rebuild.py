"""Making the rows of a registry anew from what is in its store, where the database is lost.

The store tells which digest each key holds, and keeps copies of manifests, of small blobs and of what happened
(`registry/copies`). What the registry held in the end is pushed again. What was not copied yet is lost, and so is who
did what: the history of its tags begins anew.
"""

import asyncio
import json
from dataclasses import dataclass, field
from functools import partial

from pierhead.blobs.store import Kept, Lists, TellsCopies
from pierhead.errors import ConfigurationError, PierheadError
from pierhead.metadata import blobs as blob_rows
from pierhead.metadata import copying, moves, relations, repositories, tables, unreferenced
from pierhead.metadata.database import Transaction
from pierhead.metadata.unreferenced import Lease
from pierhead.models import HEX_LENGTHS, Actor, Blob, Digest, RepositoryName, TagName, in_row
from pierhead.moving.history import History
from pierhead.moving.progress import Progress
from pierhead.moving.restore import claim
from pierhead.moving.side import Side
from pierhead.registry import documents
from pierhead.registry.contents import Contents
from pierhead.registry.damage import Damage
from pierhead.registry.deleting import Deleting
from pierhead.registry.faults import digest_under, is_of
from pierhead.registry.manifests import Manifests
from pierhead.settings import ManifestSettings

_PLACE = "the bytes in its store"
_ACTOR = Actor("pierhead check --rebuild")
_AT_ONCE = 500  # rows
_READS_AT_ONCE = 16
_TOLD_MAX = 1000
# What was accepted once is not refused now.
_SETTINGS = ManifestSettings(allow_sparse=True, max_size=64 * 1024 * 1024, max_references=100_000)
_LEASE = Lease(3600)
_DELETING = Deleting(keep_hours=0)  # nothing is deleted here


@dataclass(slots=True)
class Rebuilt:
    blobs: int = 0
    manifests: int = 0
    tags: int = 0
    unmarked: int = 0  # objects that an upload left unfinished, or whose mark was not made yet
    faults: list[str] = field(default_factory=list)


class Rebuilding:
    """Into an empty database."""

    def __init__(self, side: Side, progress: Progress, *, read: bool) -> None:
        self._database = side.database
        self._side = side
        self._progress = progress
        self._read = read
        self._manifests = Manifests(
            side.database,
            Contents(0, item_max=0),
            _SETTINGS,
            deleting=_DELETING,
            lease=_LEASE,
            damage=Damage(side.database, side.store),
        )
        self._rebuilt = Rebuilt()

    async def run(self) -> Rebuilt:
        """Raises ConfigurationError where the store tells too little, or the database is not empty."""
        store = self._side.store
        if not isinstance(store, Lists) or not isinstance(store, TellsCopies):
            raise ConfigurationError(["this store does not tell what it holds"])
        history = [name async for name in store.copies("history")]
        if not history:
            raise ConfigurationError(["the store has no copies of what happened in the registry: see storage.copies"])
        await claim(self._database, _PLACE)
        await self._find_blobs(store)
        await self._find_small_blobs(store)
        self._rebuilt.blobs = await self._database.read(lambda tx: copying.count(tx, tables.BLOBS))
        await self._push_all(store, await self._read_history(store, history))
        await self._list_unheld()
        lacking = await self._database.read(lambda tx: copying.incomplete(tx, limit=_TOLD_MAX))
        self._rebuilt.faults += [f"{name}@{manifest} lacks {part}" for name, manifest, part in lacking]
        await self._database.write(lambda tx: moves.leave(tx, "filling"))
        return self._rebuilt

    async def _find_blobs(self, store: Lists) -> None:
        """A digest may have several keys. The first is taken; where they are read, the first that is whole."""
        portion: list[Blob] = []
        async for kept in store.listed():
            blob = await self._identified(kept)
            if blob is not None:
                portion.append(blob)
            if len(portion) == _AT_ONCE:
                await self._add(portion)
                portion = []
        await self._add(portion)

    async def _add(self, blobs: list[Blob]) -> None:
        await self._database.write(partial(copying.add_stored, blobs=blobs, contents={}))

    async def _identified(self, kept: Kept) -> Blob | None:
        """What is under a key; None where nobody knows, or where it is not what it was written for."""
        digest = kept.digest
        if self._read:
            found = await digest_under(self._side.store, kept.key, digest.algorithm if digest else "sha256")
            if digest not in (None, found):
                self._rebuilt.faults.append(f"{kept.key}: other bytes than its digest says")
                return None
            digest = found
        self._rebuilt.unmarked += digest is None
        return Blob(digest, kept.size, kept.key) if digest else None

    async def _find_small_blobs(self, store: TellsCopies) -> None:
        names = [name for algorithm in HEX_LENGTHS async for name in store.copies(f"blobs/{algorithm}")]
        with self._progress.bar("small blobs", len(names)) as advance:
            for name in names:
                await self._add_small(_digest_of(name), await store.copy(name))
                advance(1)

    async def _add_small(self, digest: Digest, body: bytes) -> None:
        if not is_of(digest, body):
            self._rebuilt.faults.append(f"copy of the blob {digest}: other bytes than its digest says")
            return
        blob = Blob(digest, len(body), in_row(digest))
        await self._database.write(partial(copying.add_stored, blobs=[blob], contents={digest: body}))

    async def _read_history(self, store: TellsCopies, names: list[str]) -> History:
        names.sort(key=lambda name: name.rpartition("/")[2])  # its time, then its number
        history = History()
        with self._progress.bar("history", len(names)) as advance:
            for start in range(0, len(names), _READS_AT_ONCE):
                portion = names[start : start + _READS_AT_ONCE]
                for told in await asyncio.gather(*map(store.copy, portion)):
                    history.take(json.loads(told))
                advance(len(portion))
        return history

    async def _push_all(self, store: TellsCopies, history: History) -> None:
        tags = history.tags_of()
        with self._progress.bar("manifests", len(history.manifests)) as advance:
            for (repository, digest), media_type in history.manifests.items():
                try:
                    body = await store.copy(f"manifests/{digest.algorithm}/{digest.hex}")
                    await self._push(repository, digest, body, media_type, tags.get((repository, digest), ()))
                except PierheadError as error:
                    self._rebuilt.faults.append(f"{repository}@{digest}: {error.__class__.__doc__}")
                advance(1)

    async def _list_unheld(self) -> None:
        """Blobs that no manifest needs: whoever collects is to look at them, and looks at what is on its list only."""
        repository_id, after = await self._database.read(relations.any_repository), ""
        while repository_id is not None and (page := await self._database.read(partial(_unheld, after=after))):
            await self._database.write(partial(_note, repository_id=repository_id, blobs=page))
            after = page[-1].digest

    async def _push(
        self, repository: RepositoryName, digest: Digest, body: bytes, media_type: str, tags: tuple[TagName, ...]
    ) -> None:
        document = documents.read(body, media_type, max_references=_SETTINGS.max_references)
        parts = [reference.digest for reference in document.references if reference.kind != "manifest"]
        await self._database.write(partial(_hold, repository=repository, parts=parts))
        await self._manifests.push(repository, digest, body, content_type=media_type, tags=tags, actor=_ACTOR)
        self._rebuilt.manifests += 1
        self._rebuilt.tags += len(tags)


async def _hold(tx: Transaction, repository: RepositoryName, parts: list[Digest]) -> None:
    """Gives a repository those blobs that were found."""
    repository_id = await repositories.ensure(tx, repository)
    for digest in parts:
        if await blob_rows.stored(tx, digest) is not None:
            await blob_rows.hold(tx, repository_id, digest)
            await unreferenced.note(tx, repository_id, digest, lease=_LEASE)


async def _unheld(tx: Transaction, after: str) -> list[relations.Kept]:
    return await relations.blobs(tx, after, limit=_AT_ONCE)


async def _note(tx: Transaction, repository_id: int, blobs: list[relations.Kept]) -> None:
    for blob in blobs:
        if not blob.seen:
            await unreferenced.note(tx, repository_id, blob.digest, lease=_LEASE)


def _digest_of(name: str) -> Digest:
    """Of what a copy is, such as `blobs/sha256/<hex>`."""
    _, algorithm, digits = name.split("/")
    return Digest.parse(f"{algorithm}:{digits}")
