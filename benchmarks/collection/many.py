"""The same over PostgreSQL and a store of objects, as many nodes share them."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from benchmarks.collection.contents import BLOB_BYTES
from benchmarks.collection.ours import Ours
from pierhead.blobs.objects.s3 import S3Bucket
from pierhead.metadata.database import Database
from pierhead.metadata.postgresql import preparing
from pierhead.metadata.postgresql.database import PostgresqlDatabase
from pierhead.settings import DatabaseSettings
from tests.servers import postgresql, s3

_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Shared(Ours):
    """One by its environment."""

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        async with PostgresqlDatabase(self._settings) as database:
            yield database

    @property
    def _settings(self) -> DatabaseSettings:
        return DatabaseSettings(url=SecretStr(self.environment["PIERHEAD_DATABASE_URL"]))

    def prepare(self) -> None:
        asyncio.run(preparing.prepare(self._settings))

    def key(self, digest: str) -> str:
        session = str(uuid.uuid5(uuid.NAMESPACE_URL, digest))
        return f"blobs/{session[-2:]}/{session}-{digest[-16:]}"

    def keep(self, digests: Iterable[str], *, shared: bool) -> None:
        """Nothing of what stays: nobody reads it."""
        if not shared:
            asyncio.run(self._put(digests))

    async def _put(self, digests: Iterable[str]) -> None:
        waiting = iter([self.key(digest) for digest in digests])

        async def put(bucket: S3Bucket) -> None:
            for key in waiting:
                await bucket.put(key, bytes(BLOB_BYTES))

        async with S3Bucket(self.environment["PIERHEAD_STORAGE_URL"]) as bucket, asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(put(bucket))

    def gone(self, digests: list[str]) -> bool:
        return not {self.key(digest) for digest in digests} & asyncio.run(self._listed())

    async def _listed(self) -> set[str]:
        async with S3Bucket(self.environment["PIERHEAD_STORAGE_URL"]) as bucket:
            return {one.key async for one in bucket.list("blobs/")}


@contextmanager
def shared(folder: Path) -> Iterator[Shared]:
    with postgresql.postgresql() as cluster, s3.s3() as store, cluster.database("collection") as url:
        bucket = store.bucket()
        os.environ.update(bucket.environment)  # where the store's client of this process looks, too
        registry = Shared(folder, {"PIERHEAD_DATABASE_URL": url, "PIERHEAD_STORAGE_URL": bucket.url()})
        registry.prepare()
        yield registry
