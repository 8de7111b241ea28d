"""Collecting a blob while somebody comes to need it: either the blob stays, or whoever needs it is told so.

On PostgreSQL, where operations run at once, each pair is made to happen in both orders: a third connection holds the
lock that both need until they stand in line.
"""

import asyncio
import hashlib
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from pierhead.blobs.files import FileStore
from pierhead.errors import BlobUnknown, ManifestPartUnknown
from pierhead.metadata import locks, manifests, unreferenced
from pierhead.metadata.locks import Lock
from pierhead.models import Actor, Digest, RepositoryName, TagName
from pierhead.registry.registry import Registry
from pierhead.settings import Settings, StorageSettings
from tests.contracts.database import Place
from tests.invariants import violations

pytestmark = pytest.mark.anyio

APP, OTHER = RepositoryName("team/app"), RepositoryName("team/other")
ACTOR = Actor("alice")
MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONTENT = b"x" * 40_000
HAMMER_SECONDS = 6.0
LEASE_SECONDS = 1.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def digest_of(content: bytes) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(content).hexdigest()}")


BLOB = digest_of(CONTENT)


@asynccontextmanager
async def opened(place: Place, folder: Path, *, lease: float) -> AsyncIterator[Registry]:
    settings = Settings.model_validate({"collection": {"grace_hours": 0}, "uploads": {"lease_seconds": lease}})
    async with place.open() as database, FileStore(folder, StorageSettings(min_free_bytes=0)) as store:
        yield Registry(database, store, settings)
        assert await violations(database) == []


async def push(registry: Registry, content: bytes, repository: RepositoryName) -> None:
    upload = await registry.uploads.start(repository)
    async with registry.uploads.receive(repository, upload.id) as receiving:
        await receiving.write(content)
        await receiving.finish(digest_of(content), actor=ACTOR)


async def put(registry: Registry, blob: Digest, repository: RepositoryName, tag: str) -> None:
    descriptor = {"mediaType": "application/x", "digest": blob, "size": 1}
    document = {
        "schemaVersion": 2,
        "mediaType": MEDIA_TYPE,
        "config": descriptor,
        "layers": [],
        "annotations": {"t": tag},
    }
    content = json.dumps(document).encode()
    await registry.manifests.push(repository, TagName(tag), content, content_type=MEDIA_TYPE, actor=ACTOR)


async def whole(registry: Registry, blob: Digest, repository: RepositoryName) -> None:
    found = await registry.blobs.find(repository, blob)
    reader = await registry.blobs.open(repository, found)
    try:
        content = b"".join([bytes(chunk) async for chunk in reader.chunks(0, reader.size)])
    finally:
        reader.close()
    assert digest_of(content) == blob


Act = Callable[[Registry], Coroutine[Any, Any, Any]]


async def _put(registry: Registry) -> None:
    await put(registry, BLOB, APP, "v1")


async def _mount(registry: Registry) -> None:
    mounted = await registry.blobs.mount(OTHER, BLOB, source=APP, may_pull=lambda _: True, actor=ACTOR)
    if not mounted:
        raise BlobUnknown(BLOB)


async def _finish(registry: Registry) -> None:
    await push(registry, CONTENT, OTHER)


async def _head(registry: Registry) -> None:
    await registry.blobs.lease(APP, BLOB)


RACES: dict[str, tuple[Act, Lock, RepositoryName, type[Exception] | None]] = {
    "the PUT of a manifest": (_put, locks.repository(APP), APP, ManifestPartUnknown),
    "a mount": (_mount, locks.blob(BLOB), OTHER, BlobUnknown),
    "the end of an upload": (_finish, locks.blob(BLOB), OTHER, None),
    "a HEAD": (_head, locks.blob(BLOB), APP, BlobUnknown),
}


@asynccontextmanager
async def line(url: str, lock: Lock) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Holds a lock for the length of the block; what is given waits for one more who stands in line for it."""
    connection = await asyncpg.connect(url)
    await connection.execute(f"SELECT pg_advisory_lock({lock.key})")
    standing = 0

    async def stands() -> None:
        nonlocal standing
        standing += 1
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        async with asyncio.timeout(10):
            while await connection.fetchval(waiting) < standing:  # noqa: ASYNC110  a server's state has no event
                await asyncio.sleep(0.01)

    try:
        yield stands
    finally:
        await connection.close()


@pytest.mark.parametrize("first", ["collection", "the other"])
@pytest.mark.parametrize("race", RACES)
async def test_collection_and_whoever_needs_the_blob_go_one_after_the_other(
    at_postgresql: str, tmp_path: Path, race: str, first: str
) -> None:
    act, lock, repository, refusal = RACES[race]
    async with opened(Place("postgresql", at_postgresql), tmp_path, lease=1.0) as registry:
        await push(registry, CONTENT, APP)
        await asyncio.sleep(2.1)  # its lease is over
        async with line(at_postgresql, lock) as stands:
            acts: list[Act] = [lambda registry: registry.collector.collect(), act]
            tasks = []
            for one in acts if first == "collection" else reversed(acts):
                tasks.append(asyncio.create_task(one(registry)))
                await stands()
        results = await asyncio.gather(*tasks, return_exceptions=True)

        told = results[1] if first == "collection" else results[0]
        if first == "collection" and refusal is not None:
            assert isinstance(told, refusal)
        else:
            assert told is None
            await whole(registry, BLOB, repository)
            async for _ in registry.collector.run(rests=False):
                pass
            await whole(registry, BLOB, repository)


async def _client(
    registry: Registry, number: int, until: float, acknowledged: list[tuple[Digest, RepositoryName]]
) -> None:
    chance = random.Random(number)
    repository = (APP, OTHER)[number % 2]
    while time.monotonic() < until:
        content = CONTENT + b"%d" % chance.randrange(60)  # so that they meet
        blob, told_at = digest_of(content), time.monotonic()
        try:
            await registry.blobs.lease(repository, blob)
        except BlobUnknown:
            mounted = await registry.blobs.mount(repository, blob, source=None, may_pull=lambda _: True, actor=ACTOR)
            if not mounted:
                await push(registry, content, repository)
        await asyncio.sleep(chance.uniform(0, 0.2))
        tag = f"t{chance.randrange(1000)}-{number}"
        try:
            await put(registry, blob, repository, tag)
        except ManifestPartUnknown:
            assert time.monotonic() - told_at > LEASE_SECONDS  # else it has to succeed
            continue
        await whole(registry, blob, repository)
        acknowledged.append((blob, repository))
        if chance.random() < 0.9:
            held = await registry.manifests.find(repository, TagName(tag))
            await registry.manifests.delete(repository, held.digest, actor=ACTOR)
            acknowledged.remove((blob, repository))
            await _purge(registry, held.digest)


async def _purge(registry: Registry, digest: Digest) -> None:
    """What the end of its time in the trash does to a manifest."""

    async def purge(tx: Any) -> None:
        await tx.lock(locks.manifest(digest), locks.repository(APP), locks.repository(OTHER))
        rows = await tx.fetch_all(
            "SELECT id FROM manifests WHERE digest = :digest AND trash_id IS NOT NULL", digest=digest
        )
        for (manifest_id,) in rows:
            await unreferenced.note_parts(tx, manifest_id, lease=unreferenced.Lease(LEASE_SECONDS))
            await tx.execute("DELETE FROM trash_tags WHERE manifest_id = :id", id=manifest_id)
            await manifests.remove(tx, {manifest_id: digest})

    await registry.collector._database.write(purge)


async def _collecting(registry: Registry, until: float) -> int:
    freed = 0
    while time.monotonic() < until:
        async for step in registry.collector.run(rests=False):
            freed += len(step.freed)
        await asyncio.sleep(0.005)
    return freed


async def test_what_was_told_of_is_there_for_the_manifest_however_much_is_collected(
    place: Place, tmp_path: Path, announce: Callable[[str], None]
) -> None:
    acknowledged: list[tuple[Digest, RepositoryName]] = []
    async with opened(place, tmp_path, lease=LEASE_SECONDS) as one, opened(place, tmp_path, lease=LEASE_SECONDS) as two:
        until = time.monotonic() + HAMMER_SECONDS
        clients = [_client((one, two)[number % 2], number, until, acknowledged) for number in range(6)]
        collecting = [asyncio.create_task(_collecting(registry, until)) for registry in (one, two)]
        await asyncio.gather(*clients)
        freed = sum(await asyncio.gather(*collecting))

        for blob, repository in set(acknowledged):
            await whole(one, blob, repository)
    assert freed > 0
    announce(f"collection against pushes on {place.kind}: {len(acknowledged)} manifests left, {freed} blobs freed")
