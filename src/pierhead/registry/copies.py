"""Copies in the store of what is in rows, so that its bytes alone tell what the registry held.

    manifests/<algorithm>/<hex>              the bytes of a manifest
    blobs/<algorithm>/<hex>                  the bytes of a small blob
    history/<repository>/_/<time>-<number>   one thing that happened, as JSON

What happened is told in order by time, of which the database's clock alone is asked, and then by number. A copy
never changes and is never removed here: who writes one late, twice or out of turn does no harm.
"""

import asyncio
import json
from functools import partial

from pierhead.blobs.store import KeepsCopies
from pierhead.metadata import blobs as blob_rows
from pierhead.metadata import copies as rows
from pierhead.metadata import manifests as manifest_rows
from pierhead.metadata.copies import Owed
from pierhead.metadata.database import Database, Transaction

_AT_ONCE = 100
_WRITERS = 8


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
        content = await self._database.read(partial(_content, owed=owed))
        if content is not None:  # gone where it was deleted meanwhile, which is told next
            folder = "blobs" if owed.what == "blob" else "manifests"
            await self._store.keep(f"{folder}/{owed.digest.algorithm}/{owed.digest.hex}", content)
        if owed.what != "blob":
            await self._store.keep(f"history/{owed.repository}/_/{owed.at:016}-{owed.id:012}", _told(owed))


async def _content(tx: Transaction, owed: Owed) -> bytes | None:
    match owed.what:
        case "blob":
            return await blob_rows.content(tx, owed.digest)
        case "pushed":
            return await manifest_rows.content(tx, owed.digest)
        case "deleted":
            return None


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
