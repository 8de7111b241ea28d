"""What the store is told of rows, and that images can be found in it alone."""

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pierhead.blobs.files import FileStore
from pierhead.errors import StorageFailed
from pierhead.metadata.sqlite.database import SqliteDatabase
from pierhead.models import Actor, Digest, RepositoryName, TagName
from pierhead.registry.registry import Registry
from pierhead.settings import Settings, StorageSettings

pytestmark = pytest.mark.anyio

APP = RepositoryName("team/app")
ACTOR = Actor("alice")
MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with SqliteDatabase(tmp_path / "pierhead.db") as database:
        yield database


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FileStore]:
    async with FileStore(tmp_path, StorageSettings(min_free_bytes=0)) as store:
        yield store


@pytest.fixture
def registry(database: SqliteDatabase, store: FileStore) -> Registry:
    return Registry(database, store, Settings(), copies=store)


def digest_of(content: bytes) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(content).hexdigest()}")


async def push_blob(registry: Registry, content: bytes) -> Digest:
    upload = await registry.uploads.start(APP)
    await registry.uploads.push(upload, digest_of(content), content, actor=ACTOR)
    return digest_of(content)


async def push(registry: Registry, reference: str | None, text: str = "") -> Digest:
    """An image of one small blob."""
    config = await push_blob(registry, b"{}" + text.encode())
    descriptor = {"mediaType": "application/json", "digest": config, "size": 2 + len(text)}
    document = {"schemaVersion": 2, "mediaType": MEDIA_TYPE, "config": descriptor, "layers": []}
    content = json.dumps(document).encode()
    target = TagName(reference) if reference else digest_of(content)
    await registry.manifests.push(APP, target, content, content_type=MEDIA_TYPE, actor=ACTOR)
    return digest_of(content)


async def pay(registry: Registry) -> None:
    assert registry.copies
    while await registry.copies.pay():
        pass


def told(folder: Path) -> list[dict[str, Any]]:
    """What happened, in order, as the store has it."""
    files = sorted((folder / "copies/history/team/app/_").glob("*"), key=lambda file: file.name)
    return [json.loads(file.read_bytes()) for file in files]


def kept(folder: Path, kind: str, digest: Digest) -> bytes:
    return (folder / "copies" / kind / digest.algorithm / digest.hex).read_bytes()


async def test_bytes_of_manifests_and_small_blobs_are_copied_under_their_digests(
    registry: Registry, tmp_path: Path
) -> None:
    made = await push(registry, "v1")
    await pay(registry)

    assert digest_of(kept(tmp_path, "manifests", made)) == made
    assert kept(tmp_path, "blobs", digest_of(b"{}")) == b"{}"


async def test_what_happened_is_told_in_order(registry: Registry, tmp_path: Path) -> None:
    first, second, untagged = (
        await push(registry, "v1"),
        await push(registry, "v1", "2"),
        await push(registry, None, "3"),
    )
    await registry.tags.delete(APP, TagName("v1"), actor=ACTOR)
    await registry.manifests.delete(APP, first, actor=ACTOR)
    await pay(registry)

    assert [(one["what"], one.get("tag"), one["digest"]) for one in told(tmp_path)] == [
        ("pushed", "v1", first),
        ("pushed", "v1", second),
        ("pushed", None, untagged),
        ("deleted", "v1", second),
        ("deleted", None, first),
    ]
    assert {one["repository"] for one in told(tmp_path)} == {"team/app"}
    assert [one.get("media_type") for one in told(tmp_path)] == [MEDIA_TYPE] * 3 + [None] * 2


async def test_a_push_that_changes_nothing_owes_nothing(registry: Registry) -> None:
    assert registry.copies
    await push(registry, "v1")
    await pay(registry)
    await push(registry, "v1")
    await push(registry, None)
    await push_blob(registry, b"{}")

    assert not await registry.copies.any_owed()


async def test_a_refused_push_owes_nothing(registry: Registry) -> None:
    assert registry.copies
    descriptor = {"mediaType": "application/json", "digest": digest_of(b"absent"), "size": 6}
    document = {"schemaVersion": 2, "mediaType": MEDIA_TYPE, "config": descriptor, "layers": []}
    with pytest.raises(Exception, match=digest_of(b"absent")):
        await registry.manifests.push(
            APP, TagName("v1"), json.dumps(document).encode(), content_type=MEDIA_TYPE, actor=ACTOR
        )

    assert not await registry.copies.any_owed()


async def test_without_copies_nothing_is_owed(database: SqliteDatabase, store: FileStore) -> None:
    registry = Registry(database, store, Settings())
    await push(registry, "v1")
    await registry.tags.delete(APP, TagName("v1"), actor=ACTOR)

    assert registry.copies is None
    assert await database.read(lambda tx: tx.fetch_all("SELECT * FROM owed_copies")) == []


async def test_what_could_not_be_written_stays_owed_and_twice_is_as_once(
    registry: Registry, store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert registry.copies
    made = await push(registry, "v1")
    keep = store.keep

    async def fails_after_the_bytes(name: str, content: bytes) -> None:
        if name.startswith("history"):
            raise StorageFailed("EIO")
        await keep(name, content)

    monkeypatch.setattr(store, "keep", fails_after_the_bytes)
    with pytest.raises(StorageFailed):
        await registry.copies.pay()
    monkeypatch.setattr(store, "keep", keep)
    assert await registry.copies.any_owed()
    await pay(registry)

    assert digest_of(kept(tmp_path, "manifests", made)) == made
    assert len(told(tmp_path)) == 1


async def test_a_manifest_that_is_gone_before_it_was_copied_is_told_all_the_same(
    registry: Registry, tmp_path: Path
) -> None:
    made = await push(registry, "v1")
    await registry.manifests.delete(APP, made, actor=ACTOR)
    await pay(registry)

    assert [one["what"] for one in told(tmp_path)] == ["pushed", "deleted"]


async def test_many_are_copied_in_portions(registry: Registry, tmp_path: Path) -> None:
    assert registry.copies
    for number in range(60):
        await push(registry, f"v{number}", str(number))

    assert [await registry.copies.pay() for _ in range(3)] == [100, 20, 0]
    assert [one["tag"] for one in told(tmp_path)] == [f"v{number}" for number in range(60)]


@pytest.mark.parametrize(
    ("copies", "url", "wanted"),
    [
        ("auto", None, False),
        ("auto", "s3://bucket/prefix", True),
        ("always", None, True),
        ("never", "s3://bucket/prefix", False),
    ],
)
def test_copies_are_kept_where_the_settings_want_them(copies: Any, url: str | None, wanted: bool) -> None:
    assert StorageSettings(copies=copies, url=url).wants_copies is wanted
