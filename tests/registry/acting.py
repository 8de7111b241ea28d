"""A registry on a database of either kind, and what its tests do with it."""

import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pierhead.blobs.files import FileStore
from pierhead.models import Actor, Digest, RepositoryName, TagName
from pierhead.registry import preconditions
from pierhead.registry.preconditions import Precondition
from pierhead.registry.registry import Registry
from pierhead.settings import Settings, StorageSettings
from tests.contracts.database import Place

APP = RepositoryName("team/app")
OTHER = RepositoryName("team/other")
ALICE = Actor("alice", credential="basic", address="192.0.2.1", agent="docker/29", request_id="r1")
IMAGE = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


@asynccontextmanager
async def acting(place: Place, folder: Path, settings: Settings | None = None) -> AsyncIterator[Registry]:
    async with place.open() as database, FileStore(folder, StorageSettings(min_free_bytes=0)) as store:
        yield Registry(database, store, settings or Settings())


def digest_of(content: bytes) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(content).hexdigest()}")


def image(text: str) -> bytes:
    """An image of one small blob, made different by a text."""
    config = {"mediaType": "application/json", "digest": digest_of(b"{}"), "size": 2}
    return json.dumps(
        {"schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": [], "annotations": {"text": text}}
    ).encode()


def index(*children: bytes) -> bytes:
    listed = [{"mediaType": IMAGE, "digest": digest_of(child), "size": len(child)} for child in children]
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}).encode()


async def push(
    registry: Registry,
    repository: RepositoryName,
    tags: str,
    text: str,
    *,
    precondition: Precondition = preconditions.NONE,
    actor: Actor = ALICE,
) -> Digest:
    """Pushes an image under tags that a comma separates, or by its digest where there is none."""
    await push_config(registry, repository)
    content = image(text)
    names = tuple(TagName(name) for name in tags.split(",") if name)
    digest = digest_of(content)
    await registry.manifests.push(
        repository, digest, content, content_type=IMAGE, tags=names, precondition=precondition, actor=actor
    )
    return digest


async def push_config(registry: Registry, repository: RepositoryName) -> None:
    upload = await registry.uploads.start(repository)
    await registry.uploads.push(upload, digest_of(b"{}"), b"{}", actor=ALICE)


def now() -> int:
    """A moment after all that was acknowledged: the tests' databases run on this machine's clock."""
    return time.time_ns() // 1000 + 1
