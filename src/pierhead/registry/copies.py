"""Copies in the store of what is in rows, so that its bytes alone tell what the registry held.

    manifests/<algorithm>/<hex>              the bytes of a manifest
    blobs/<algorithm>/<hex>                  the bytes of a small blob
    history/<repository>/_/<time>-<number>   one thing that happened, as JSON

What happened is told in order by time, of which the database's clock alone is asked, and then by number. That is never
removed, and no copy ever changes: who writes one late, twice or out of turn does no harm. Bytes that are gone for good
lose their copy, by whoever pays what is owed for that; since they may have come back, and others may pay at once, who
wrote or removed a copy looks at the rows once more.
"""

import asyncio
import json
from functools import partial
from typing import Literal

from pierhead.blobs.store import KeepsCopies
from pierhead.metadata import blobs as blob_rows
from pierhead.metadata import copies as rows
from pierhead.metadata import manifests as manifest_rows
from pierhead.metadata.copies import Owed
from pierhead.metadata.database import Database
from pierhead.models import Digest

_AT_ONCE = 100
_WRITERS = 8
Folder = Literal["blobs", "manifests"]


class Copies:
    def __init__(self, database: Database, store: KeepsCopies) -> None:
        self._database = database
        self._store = store

    async def any_owed(self) -> bool:
        return await self._database.read(rows.any_owed)

    async def pay(self) -> int:
        """Writes some of those that are owed, the oldest first, and returns how many. Harmless at once with others.

        Raises StorageFailed, StorageFull.
        """
        owed = await self._database.read(partial(rows.oldest, limit=_AT_ONCE))
        for start in range(0, len(owed), _WRITERS):
            portion = owed[start : start + _WRITERS]
            failed = [
                error for error in await asyncio.gather(*map(self._copy, portion), return_exceptions=True) if error
            ]
            if failed:
                raise failed[0]
            await self._database.write(partial(rows.settle, paid=portion), durable=False)
        return len(owed)

    async def _copy(self, owed: Owed) -> None:
        """The bytes first: what happened is told of bytes that are there."""
        match owed.what:
            case "blob":
                await self._level(owed.digest, "blobs", there=False)
            case "pushed":
                await self._level(owed.digest, "manifests", there=False)
            case "gone":
                await self._level(owed.digest, "blobs", there=True)
                await self._level(owed.digest, "manifests", there=True)
        if owed.what in ("pushed", "deleted"):
            await self._store.keep(f"history/{owed.repository}/_/{owed.at:016}-{owed.id:012}", _told(owed))

    async def _level(self, digest: Digest, folder: Folder, *, there: bool) -> None:
        """Makes the copy of a digest what the rows say; `there` is whether the store may have one."""
        name, read = f"{folder}/{digest.algorithm}/{digest.hex}", partial(_CONTENTS[folder], digest=digest)
        content = await self._database.read(read)
        while there is not (content is not None):
            if content is None:
                await self._store.forget(name)
            else:
                await self._store.keep(name, content)
            there = content is not None
            content = await self._database.read(read)


_CONTENTS = {"blobs": blob_rows.content, "manifests": manifest_rows.content}


def _told(owed: Owed) -> bytes:
    told = {
        "what": owed.what,
        "repository": owed.repository,
        "tag": owed.tag,
        "digest": owed.digest,
        "media_type": owed.media_type,
        "time": owed.at,
    }
    return json.dumps({name: value for name, value in told.items() if value is not None}).encode() + b"\n"
