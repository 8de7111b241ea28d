"""Rows that tests of rows start from."""

import hashlib
from collections.abc import Iterable

from pierhead.metadata import blobs, events, manifests, repositories, tags
from pierhead.metadata.database import Transaction
from pierhead.models import Actor, Blob, Descriptor, Digest, Manifest, RepositoryName, TagName

ACTOR = Actor("alice", credential="basic", address="192.0.2.1", agent="docker/29", request_id="r1")
APP = RepositoryName("team/app")
OTHER = RepositoryName("team/other")


def digest(text: str) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(text.encode()).hexdigest()}")


def layer(text: str) -> Descriptor:
    return Descriptor(digest(text), 10, "application/octet-stream", "layer")


async def add_blob(tx: Transaction, repository: RepositoryName, text: str) -> Digest:
    made = digest(text)
    if await blobs.stored(tx, made) is None:
        await blobs.put(tx, Blob(made, len(text), f"key of {text}"))
    await blobs.hold(tx, await repositories.ensure(tx, repository), made)
    return made


async def add_manifest(
    tx: Transaction,
    repository: RepositoryName,
    text: str,
    *,
    references: Iterable[Descriptor] = (),
    subject: Digest | None = None,
    artifact_type: str | None = None,
) -> int:
    made = digest(text)
    await manifests.keep_content(tx, made, text.encode())
    repository_id = await repositories.ensure(tx, repository)
    manifest = Manifest(made, "application/json", len(text))
    return await manifests.add(
        tx, manifests.NewManifest(repository_id, manifest, subject, artifact_type, None), references
    )


async def add_tag(tx: Transaction, repository: RepositoryName, name: str, manifest_id: int) -> None:
    await tags.point(tx, await repositories.ensure(tx, repository), TagName(name), manifest_id)


async def add_event(tx: Transaction, repository: RepositoryName) -> int:
    return await events.record(tx, "manifest.pushed", await repositories.ensure(tx, repository), ACTOR)
