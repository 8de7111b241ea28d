"""Manifests: pulling, pushing and deleting them, with the tags that move along."""

import asyncio
import hashlib
import json
from dataclasses import dataclass

from pierhead.errors import (
    DigestMismatch,
    ManifestPartUnknown,
    ManifestTooLarge,
    ManifestUnknown,
    RepositoryUnknown,
    StillNeeded,
)
from pierhead.metadata import blobs as blob_rows
from pierhead.metadata import events, locks, repositories
from pierhead.metadata import manifests as rows
from pierhead.metadata import tags as tag_rows
from pierhead.metadata.database import Database, Transaction
from pierhead.models import Actor, Digest, Manifest, RepositoryName, TagName
from pierhead.registry import documents
from pierhead.registry.contents import Contents
from pierhead.registry.documents import Document
from pierhead.registry.stale import Stale
from pierhead.settings import ManifestSettings

# Parsing and hashing more than this happens in a thread, so that nobody waits for it.
_INLINE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Pushed:
    digest: Digest
    subject: Digest | None


class Manifests:
    def __init__(
        self, database: Database, contents: Contents, settings: ManifestSettings, stale: Stale | None = None
    ) -> None:
        self._database = database
        self._recall = (stale or database).recall
        self._contents = contents
        self._settings = settings

    async def find(self, repository: RepositoryName, reference: Digest | TagName) -> Manifest:
        """Raises RepositoryUnknown, ManifestUnknown."""

        async def look_up(tx: Transaction) -> Manifest | None:
            if isinstance(reference, Digest):
                return await rows.by_digest(tx, repository, reference)
            return await rows.by_tag(tx, repository, reference)

        found = await self._recall(("manifest", repository, reference), look_up)
        if found is not None:
            return found
        known = await self._database.read(lambda tx: repositories.identify(tx, repository))
        raise RepositoryUnknown(repository) if known is None else ManifestUnknown(reference)

    async def content(self, manifest: Manifest) -> bytes:
        """The bytes, as they were pushed."""
        kept = self._contents.get(manifest.digest)
        if kept is not None:
            return kept
        content = await self._database.read(lambda tx: rows.content(tx, manifest.digest))
        if content is None:  # deleted since it was found
            raise ManifestUnknown(manifest.digest)
        self._contents.keep(manifest.digest, content)
        return content

    async def push(
        self,
        repository: RepositoryName,
        reference: Digest | TagName,
        content: bytes,
        *,
        content_type: str,
        tags: tuple[TagName, ...] = (),
        actor: Actor,
    ) -> Pushed:
        """Adds a manifest and points `reference` (where it is a tag) and `tags` to it, all or nothing.

        Raises ManifestTooLarge, ManifestInvalid, ManifestPartUnknown, DigestMismatch.
        """
        if len(content) > self._settings.max_size:
            raise ManifestTooLarge(f"{len(content)} bytes, at most {self._settings.max_size} are allowed")
        algorithm = reference.algorithm if isinstance(reference, Digest) else "sha256"
        if len(content) <= _INLINE_BYTES:
            digest, document = self._read(content, content_type, algorithm)
        else:
            digest, document = await asyncio.to_thread(self._read, content, content_type, algorithm)
        if isinstance(reference, Digest):
            if digest != reference:
                raise DigestMismatch(f"{reference} was given, the content has {digest}")
        else:
            tags = (reference, *tags)

        async def push(tx: Transaction) -> None:
            moving = [locks.tag(repository, tag) for tag in tags]
            await tx.lock(locks.manifest(digest), locks.repository(repository, shared=True), *moving)
            repository_id = await repositories.ensure(tx, repository)
            manifest_id = await self._add(tx, repository_id, digest, content, document)
            await _point(tx, repository_id, manifest_id, digest, tags=tuple(dict.fromkeys(tags)), actor=actor)

        await self._database.write(push)
        return Pushed(digest, document.subject)

    async def delete(self, repository: RepositoryName, digest: Digest, *, actor: Actor) -> None:
        """Deletes a manifest and the tags that point to it.

        Raises ManifestUnknown, StillNeeded where an index of the repository lists it.
        """

        async def delete(tx: Transaction) -> None:
            await tx.lock(locks.manifest(digest), locks.repository(repository))
            repository_id = await repositories.identify(tx, repository)
            if repository_id is None:
                raise RepositoryUnknown(repository)
            manifest_id = await rows.identify(tx, repository_id, digest)
            if manifest_id is None:
                raise ManifestUnknown(digest)
            needing = await rows.needing(tx, repository_id, digest)
            if needing is not None:
                raise StillNeeded(f"{digest} is part of {needing}")
            event_id = await events.record(tx, "manifest.deleted", repository_id, actor, before=digest)
            for tag in await tag_rows.of_manifest(tx, manifest_id):
                await tag_rows.remove(tx, repository_id, tag)
                await tag_rows.remember(tx, tag_rows.Move(repository_id, tag, "deleted", digest, None, event_id))
            await rows.remove(tx, manifest_id, digest)

        await self._database.write(delete)

    def _read(self, content: bytes, content_type: str, algorithm: str) -> tuple[Digest, Document]:
        document = documents.read(content, content_type, max_references=self._settings.max_references)
        return Digest(f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"), document

    async def _add(
        self, tx: Transaction, repository_id: int, digest: Digest, content: bytes, document: Document
    ) -> int:
        """The id of the manifest in the repository, added with its references where it is new."""
        new = _row(repository_id, digest, content, document)
        known = await rows.identify(tx, repository_id, digest)
        if known is not None and await rows.media_type(tx, known) == document.media_type:
            return known
        if not self._settings.allow_sparse:
            await _require_parts(tx, repository_id, document)
        if known is not None:
            await rows.retype(tx, known, new, document.references)
            return known
        await rows.keep_content(tx, digest, content)
        return await rows.add(tx, new, document.references)


def _row(repository_id: int, digest: Digest, content: bytes, document: Document) -> rows.NewManifest:
    return rows.NewManifest(
        repository_id,
        Manifest(digest, document.media_type, len(content)),
        document.subject,
        document.artifact_type,
        json.dumps(document.annotations) if document.subject and document.annotations else None,
    )


async def _require_parts(tx: Transaction, repository_id: int, document: Document) -> None:
    """Raises ManifestPartUnknown where the repository lacks what the manifest needs."""
    needed = [reference for reference in document.references if reference.required]
    blobs = list(dict.fromkeys(reference.digest for reference in needed if reference.kind != "manifest"))
    manifests = list(dict.fromkeys(reference.digest for reference in needed if reference.kind == "manifest"))
    missing = await blob_rows.missing(tx, repository_id, blobs)
    # BuildKit's cache is an index whose entries are layers.
    missing += await blob_rows.missing(tx, repository_id, await rows.missing(tx, repository_id, manifests))
    if missing:
        raise ManifestPartUnknown([str(digest) for digest in missing])


async def _point(
    tx: Transaction, repository_id: int, manifest_id: int, digest: Digest, *, tags: tuple[TagName, ...], actor: Actor
) -> None:
    """Points tags to a manifest, and writes what happened."""
    if not tags:
        await events.record(tx, "manifest.pushed", repository_id, actor, after=digest)
    for tag in tags:
        before = await tag_rows.target(tx, repository_id, tag)
        event_id = await events.record(
            tx, "manifest.pushed", repository_id, actor, tag=tag, before=before, after=digest
        )
        if before == digest:
            continue
        await tag_rows.point(tx, repository_id, tag, manifest_id)
        await tag_rows.remember(
            tx, tag_rows.Move(repository_id, tag, "moved" if before else "created", before, digest, event_id)
        )
