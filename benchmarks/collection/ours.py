"""Our registry: its rows and bytes put straight in place, and the collector as an operator runs it."""

import asyncio
import hashlib
import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.collection import files
from benchmarks.collection.contents import BLOB_BYTES, Contents
from benchmarks.loads import IMAGE
from pierhead.metadata import repositories
from pierhead.metadata.database import Database, Transaction, Value
from pierhead.metadata.sqlite.database import SqliteDatabase
from pierhead.models import RepositoryName

T = TypeVar("T")
Rows = Iterable[Mapping[str, Value]]
_AT_ONCE = 20_000
_HOUR = 3_600_000_000  # microseconds

_BLOBS = "INSERT INTO blobs (digest, size, key, created_at) VALUES (:digest, :size, :key, clock_us())"
_HELD = """
    INSERT INTO repository_blobs (repository_id, digest, created_at) VALUES (:repository_id, :digest, clock_us())"""
_CONTENTS = "INSERT INTO manifest_contents (digest, content) VALUES (:digest, :content)"
_MANIFESTS = """
    INSERT INTO manifests (id, repository_id, digest, media_type, size, pushed_at)
    /*! OVERRIDING SYSTEM VALUE */ VALUES (:id, :repository_id, :digest, :media_type, :size, clock_us())"""
_REFERENCES = "INSERT INTO manifest_references (manifest_id, digest, kind) VALUES (:manifest_id, :digest, :kind)"
_TAGS = """
    INSERT INTO tags (repository_id, name, manifest_id, moved_at)
    VALUES (:repository_id, :name, :manifest_id, clock_us())"""
# Long ago, so that neither a grace nor a lease keeps them, and not in the order in which they were made.
_UNREFERENCED = f"""
    INSERT INTO unreferenced_blobs (repository_id, digest, since, leased_until)
    VALUES (:repository_id, :digest, clock_us() - {72 * _HOUR} - CAST(:age AS BIGINT), clock_us() - {48 * _HOUR})
        ON CONFLICT (repository_id, digest) DO NOTHING"""
# Without what clients pushed just now, which is leased.
_DUE = f"SELECT count(*) FROM unreferenced_blobs WHERE since < clock_us() - {24 * _HOUR}"


@dataclass(frozen=True, slots=True)
class Ours:
    """A registry by its directory."""

    data: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)  # of the repositories

    @property
    def flags(self) -> list[str]:
        return ["--data", str(self.data)]

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        async with SqliteDatabase(self.data / "pierhead.db") as database:
            yield database

    def key(self, digest: str) -> str:
        """One that no session gave it."""
        return f"sha256/{digest[7:9]}/{digest[7:]}.{hashlib.md5(digest.encode()).hexdigest()}-0"  # noqa: S324  unique

    def keep(self, digests: Iterable[str], *, shared: bool) -> None:
        """The bytes of blobs; `shared` where they stay."""
        writer = files.Writer()
        for digest in digests:
            path = self.data / "blobs" / self.key(digest)
            (writer.link if shared else writer.write)(path)

    def gone(self, digests: list[str]) -> bool:
        return not any((self.data / "blobs" / self.key(digest)).exists() for digest in digests)


def run(ours: Ours, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    async def opened() -> T:
        async with ours.database() as database:
            return await work(database)

    return asyncio.run(opened())


def fill(ours: Ours, contents: Contents) -> None:
    """The images; of the rest see `leave`."""
    ours.keep((part for image in contents.images for part in image.parts), shared=True)
    run(ours, lambda database: _fill(ours, database, contents))


async def _fill(ours: Ours, database: Database, contents: Contents) -> None:
    async def ensure(tx: Transaction) -> None:
        for number in range(contents.repositories):
            name = contents.repository(number)
            ours.ids[name] = await repositories.ensure(tx, RepositoryName(name))

    await database.write(ensure)
    # In the order of their keys: a million rows in any other one would go to a million pages.
    digests = sorted(part for image in contents.images for part in image.parts)
    await _insert(database, _BLOBS, (_blob(ours, digest) for digest in digests))
    await _insert(database, _HELD, _held(ours, contents))
    images = [(image, f"sha256:{hashlib.sha256(image.manifest).hexdigest()}") for image in contents.images]
    await _insert(database, _CONTENTS, ({"digest": digest, "content": image.manifest} for image, digest in images))
    await _insert(
        database,
        _MANIFESTS,
        (
            {
                "id": image.number + 1,
                "repository_id": ours.ids[image.repository],
                "digest": digest,
                "media_type": IMAGE,
                "size": len(image.manifest),
            }
            for image, digest in images
        ),
    )
    await _insert(
        database,
        _REFERENCES,
        (
            {"manifest_id": image.number + 1, "digest": part, "kind": "layer" if place else "config"}
            for image, _ in images
            for place, part in enumerate(image.parts)
        ),
    )
    await _insert(
        database,
        _TAGS,
        (
            {"repository_id": ours.ids[image.repository], "name": image.tag, "manifest_id": image.number + 1}
            for image, _ in images
        ),
    )


def _held(ours: Ours, contents: Contents) -> Rows:
    return (
        {"repository_id": ours.ids[image.repository], "digest": part}
        for image in contents.images
        for part in image.parts
    )


def _blob(ours: Ours, digest: str) -> Mapping[str, Value]:
    return {"digest": digest, "size": BLOB_BYTES, "key": ours.key(digest)}


async def _insert(database: Database, sql: str, rows: Rows) -> None:
    left = iter(rows)
    while some := list(itertools.islice(left, _AT_ONCE)):

        async def insert(tx: Transaction, some: Rows = some) -> None:
            await tx.execute_many(sql, some)

        await database.write(insert, durable=False)


def leave(ours: Ours, orphans: list[tuple[str, str]]) -> None:
    """Blobs that nothing needs, and have waited for long."""
    ours.keep((digest for _, digest in orphans), shared=False)
    rows: list[Mapping[str, Value]] = [{"repository_id": ours.ids[name], "digest": digest} for name, digest in orphans]

    async def insert(database: Database) -> None:
        await _insert(database, _BLOBS, (_blob(ours, digest) for _, digest in orphans))
        await _insert(database, _HELD, rows)
        await _insert(database, _UNREFERENCED, _aged(rows))

    run(ours, insert)


def suspect(ours: Ours, contents: Contents, most: int) -> None:
    """Blobs that images need, to be looked at once more."""
    rows = _aged(itertools.islice(_held(ours, contents), most))
    run(ours, lambda database: _insert(database, _UNREFERENCED, rows))


def _aged(rows: Rows) -> Rows:
    ages = random.Random(1)
    return ({**row, "age": ages.randrange(_HOUR)} for row in rows)


def waiting(ours: Ours) -> int:
    """Blobs that the collector has not looked at."""
    return _count(ours, _DUE)


def doomed(ours: Ours) -> int:
    return _count(ours, "SELECT count(*) FROM doomed_keys")


def _count(ours: Ours, sql: str) -> int:
    async def count(database: Database) -> int:
        row = await database.read(lambda tx: tx.fetch_one(sql))
        assert row is not None  # noqa: S101  a count has a row
        counted: int = row[0]
        return counted

    return run(ours, count)


def collecting(ours: Ours, *, rests: bool) -> subprocess.Popen[bytes]:
    """`pierhead gc`, beside whoever serves; where it rests it does as the server's own job does."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PIERHEAD_")}
    command = [sys.executable, "-m", "pierhead.cli.main", "gc", *ours.flags, *([] if rests else ["--no-rest"])]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**inherited, **ours.environment})


def collect(ours: Ours) -> float:
    """Seconds of one collection to its end, without rests."""
    files.settle()
    begun = time.perf_counter()
    if code := collecting(ours, rests=False).wait():
        raise SystemExit(f"pierhead gc: exit code {code}")
    took = time.perf_counter() - begun
    if left := waiting(ours) + doomed(ours):
        raise SystemExit(f"{left} blobs or keys are left")
    return took
