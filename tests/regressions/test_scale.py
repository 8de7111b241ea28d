"""What grows with a registry elsewhere: deleting and collecting in one that is large or deep."""

import asyncio
import json
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from pierhead.blobs.objects.s3 import S3Bucket
from pierhead.blobs.objects.store import ObjectStore
from pierhead.metadata.sqlite import engine
from pierhead.metadata.sqlite.database import SqliteDatabase
from pierhead.models import Actor, Digest, RepositoryName
from pierhead.registry.documents import OCI_INDEX
from pierhead.registry.registry import Registry
from pierhead.settings import CollectionSettings, Settings, UploadSettings
from tests.distribution.wire import descriptor, image, push_blob, push_image, push_manifest, sha256
from tests.regressions.acting import LEASES_OVER_SECONDS, collect, eager, purge
from tests.servers.s3 import Server

TAGS = 50_000
DEPTH = 20


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_a_deletion_costs_no_more_where_there_are_many_tags(tmp_path: Path) -> None:
    """distribution#3589, harbor#12948: to delete one manifest, the links of all tags were read."""
    data = tmp_path / "data"
    with eager(data) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        push_image(client, "tagged", "base", "base")
        digests = [push_image(client, "tagged", f"v{number}", str(number)) for number in range(20)]
        few = _seconds(client, digests[:10])
        with closing(engine.connect(data / "pierhead.db")) as connection, connection:
            repository_id, manifest_id = connection.execute(
                "SELECT repository_id, manifest_id FROM tags WHERE name = 'base'"
            ).fetchall()[0]
            rows = ((repository_id, f"t{number}", manifest_id) for number in range(TAGS))
            connection.executemany("INSERT INTO tags VALUES (?, ?, ?, 0)", rows)

        many = _seconds(client, digests[10:])

        assert many < 5 * few + 0.2
        begun = time.perf_counter()
        collect(data)
        assert time.perf_counter() - begun < 10


def _seconds(client: httpx.Client, digests: list[str]) -> float:
    begun = time.perf_counter()
    for digest in digests:
        assert client.delete(f"/v2/tagged/manifests/{digest}").status_code == 202
    return time.perf_counter() - begun


def test_indexes_that_share_their_children_are_walked_once(tmp_path: Path) -> None:
    """zot#4318: a walk through nested indexes took each way to each of them, which are two to the power of depth."""
    data = tmp_path / "data"
    with eager(data) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        layer = b"at the bottom"
        for content in (b"{}", layer):
            push_blob(client, "deep", content)
        level = [image(b"{}", [layer], annotations={"side": side}) for side in ("left", "right")]
        kind = json.loads(level[0])["mediaType"]
        for _ in range(DEPTH):
            for content in level:
                assert push_manifest(client, "deep", sha256(content), content, kind).status_code == 201
            entries = [descriptor(content, kind) for content in level]
            kind = OCI_INDEX
            level = [_index(entries, side) for side in ("left", "right")]
        top = level[0]
        assert push_manifest(client, "deep", "top", top, kind).status_code == 201
        begun = time.perf_counter()

        collect(data)
        assert client.get(f"/v2/deep/blobs/{sha256(layer)}").content == layer
        assert client.delete(f"/v2/deep/manifests/{sha256(top)}").status_code == 202
        assert client.head(f"/v2/deep/blobs/{sha256(layer)}").status_code == 200
        purge(data, "deep")
        collect(data)

        assert client.head(f"/v2/deep/blobs/{sha256(layer)}").status_code == 404
        assert client.get("/v2/_catalog").json()["repositories"] == []
        assert time.perf_counter() - begun < 20


def _index(entries: list[dict[str, object]], side: str) -> bytes:
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, "annotations": {"side": side}}
    return json.dumps(document).encode()


@pytest.mark.anyio
async def test_no_bucket_is_listed_to_collect(s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """harbor#12948, harbor#19991: to collect from S3 took weeks, as all of the bucket was listed again and again."""
    bucket = s3.bucket()
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings(collection=CollectionSettings(grace_hours=0), uploads=UploadSettings(lease_seconds=1))
    asked: list[str] = []
    async with (
        SqliteDatabase(tmp_path / "pierhead.db") as database,
        S3Bucket(bucket.url(), observe=lambda operation, *_: asked.append(operation)) as opened,
        ObjectStore(opened, settings.storage) as store,
    ):
        registry = Registry(database, store, settings)
        for number in range(30):
            await _push(registry, b"%40000d" % number)
        await asyncio.sleep(LEASES_OVER_SECONDS)
        asked.clear()

        freed = [one async for step in registry.collector.run(rests=False) for one in step.freed]

    assert len(freed) == 30
    assert asked
    assert set(asked) == {"remove"}
    assert len(asked) < 10


async def _push(registry: Registry, content: bytes) -> None:
    repository = RepositoryName("team/app")
    upload = await registry.uploads.start(repository)
    async with registry.uploads.receive(repository, upload.id) as receiving:
        await receiving.write(content)
        await receiving.finish(Digest(sha256(content)), actor=Actor("ann"))
