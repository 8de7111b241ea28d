"""Manifests: pulling, pushing and deleting them, with the tags that move along."""

import asyncio
import hashlib
import json
from dataclasses import dataclass

from pierhead.errors import (
    AccessDenied,
    DigestMismatch,
    ManifestDamaged,
    ManifestPartUnknown,
    ManifestTooLarge,
    ManifestUnknown,
    RepositoryUnknown,
)
from pierhead.metadata import blobs as blob_rows
from pierhead.metadata import copies, events, locks, pins, repositories, unreferenced
from pierhead.metadata import manifests as rows
from pierhead.metadata import tags as tag_rows
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.unreferenced import Lease
from pierhead.models import Actor, Digest, Manifest, RepositoryName, TagName
from pierhead.registry import documents, faults, preconditions
from pierhead.registry.contents import Contents
from pierhead.registry.damage import Damage
from pierhead.registry.deleting import Deleting, pinned
from pierhead.registry.documents import Document
from pierhead.registry.preconditions import Precondition
from pierhead.registry.stale import Stale
from pierhead.settings import ManifestSettings
from pierhead.verbs import ALL, Verb, Verbs

# Parsing and hashing more than this happens in a thread, so that nobody waits for it.
_INLINE_BYTES = 64 * 1024
_RENEWED_AFTER = 600_000_000  # microseconds


@dataclass(frozen=True, slots=True)
class Pushed:
    digest: Digest
    subject: Digest | None


class Manifests:
    def __init__(
        self,
        database: Database,
        contents: Contents,
        settings: ManifestSettings,
        stale: Stale | None = None,
        *,
        deleting: Deleting,
        lease: Lease,
        damage: Damage,
    ) -> None:
        self._database = database
        self._recall = (stale or database).recall
        self._contents = contents
        self._settings = settings
        self._deleting = deleting
        self._damage = damage
        self._lease = lease

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
        """The bytes, as they were pushed. Raises ManifestDamaged rather than give others."""
        kept = self._contents.get(manifest.digest)
        if kept is not None:
            return kept
        content = await self._database.read(lambda tx: rows.content(tx, manifest.digest))
        if content is None:  # deleted since it was found
            raise ManifestUnknown(manifest.digest)
        if not await self._is_sound(manifest.digest, content):
            self._damage.manifest(manifest.digest, by="pull")
            raise ManifestDamaged(manifest.digest)
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
        precondition: Precondition = preconditions.NONE,
        held: Verbs = ALL,
        actor: Actor,
    ) -> Pushed:
        """Adds a manifest and points `reference` (where it is a tag) and `tags` to it, all or nothing.

        The precondition is about each of these tags, or where there is none about the manifest. One that is in the
        trash comes back. Raises ManifestTooLarge, ManifestInvalid, ManifestPartUnknown, DigestMismatch,
        PreconditionFailed, Pinned, and AccessDenied where a tag would move that may not be moved with the verbs `held`.
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
        tags = tuple(dict.fromkeys(tags))

        async def push(tx: Transaction) -> None:
            moving = [locks.tag(repository, tag) for tag in tags]
            await tx.lock(locks.manifest(digest), locks.repository(repository, shared=True), *moving)
            repository_id = await repositories.ensure(tx, repository, actor)
            if precondition != preconditions.NONE:
                await _require(tx, repository_id, precondition, digest, tags)
            manifest_id, added = await self._add(tx, repository_id, digest, content, document, tagged=bool(tags))
            moved = await _point(tx, repository_id, manifest_id, digest, tags=tags, held=held, actor=actor)
            if self._deleting.copied:
                for tag in moved or [None] * added:
                    media_type = document.media_type
                    await copies.owe(tx, "pushed", digest, repository=repository, tag=tag, media_type=media_type)

        await self._database.write(push)
        return Pushed(digest, document.subject)

    async def delete(
        self,
        repository: RepositoryName,
        digest: Digest,
        *,
        precondition: Precondition = preconditions.NONE,
        reason: str | None = None,
        actor: Actor,
    ) -> None:
        """Puts a manifest into the trash, with the tags that point to it and what belongs to it.

        Raises RepositoryUnknown, ManifestUnknown, StillNeeded where an index of the repository lists it, Pinned,
        PreconditionFailed.
        """

        async def delete(tx: Transaction) -> None:
            await tx.lock(locks.repository(repository))
            repository_id = await repositories.identify(tx, repository)
            if repository_id is None:
                raise RepositoryUnknown(repository)
            manifest = await rows.find(tx, repository_id, digest)
            if manifest is None or not manifest.live:
                raise ManifestUnknown(digest)
            await self._deleting.manifest(tx, repository, repository_id, manifest, actor=actor, reason=reason)
            precondition.require(digest)  # last: what would be refused anyway is not asked for it (RFC 9110 §13.2.1)

        await self._database.write(delete)

    async def _is_sound(self, digest: Digest, content: bytes) -> bool:
        if len(content) <= _INLINE_BYTES:
            return faults.is_of(digest, content)
        return await asyncio.to_thread(faults.is_of, digest, content)

    def _read(self, content: bytes, content_type: str, algorithm: str) -> tuple[Digest, Document]:
        document = documents.read(content, content_type, max_references=self._settings.max_references)
        return Digest(f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"), document

    async def _add(
        self, tx: Transaction, repository_id: int, digest: Digest, content: bytes, document: Document, *, tagged: bool
    ) -> tuple[int, bool]:
        """The id of the manifest in the repository, and whether it is new there or is read as another type."""
        new = _row(repository_id, digest, content, document)
        known = await rows.find(tx, repository_id, digest)
        if not self._settings.allow_sparse:  # also of one that is known: what it needs may be damaged by now
            await _require_parts(tx, repository_id, document)
        await rows.keep_content(tx, digest, content)  # of one that is known too: its row may hold other bytes by now
        if known is not None and known.live and known.media_type == document.media_type:
            if not tagged:  # the index that lists it may come next
                await rows.renew(tx, known.id, age=_RENEWED_AFTER)
            return known.id, False
        if known is None:
            return await rows.add(tx, new, document.references, tagged=tagged), True
        if known.media_type != document.media_type:
            await unreferenced.note_parts(tx, known.id, lease=self._lease)
            await rows.retype(tx, known.id, new, document.references)
        if not known.live:
            await rows.take_back(tx, known.id)
        return known.id, True


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


async def _require(
    tx: Transaction, repository_id: int, precondition: Precondition, digest: Digest, tags: tuple[TagName, ...]
) -> None:
    """Raises PreconditionFailed."""
    for tag in tags:
        precondition.require(await tag_rows.target(tx, repository_id, tag), digest)
    if not tags:
        held = await rows.find(tx, repository_id, digest)
        precondition.require(digest if held and held.live else None, digest)


async def _point(
    tx: Transaction,
    repository_id: int,
    manifest_id: int,
    digest: Digest,
    *,
    tags: tuple[TagName, ...],
    held: Verbs,
    actor: Actor,
) -> list[TagName | None]:
    """Points tags to a manifest, writes what happened, and returns the tags that moved. Raises Pinned, AccessDenied."""
    moved: list[TagName | None] = []
    if not tags:
        await events.record(tx, "manifest.pushed", repository_id, actor, after=digest)
    for tag in tags:
        before = await tag_rows.target(tx, repository_id, tag)
        event_id = await events.record(
            tx, "manifest.pushed", repository_id, actor, tag=tag, before=before, after=digest
        )
        if before == digest:
            continue
        if before is not None and Verb.MOVE_TAG not in held:
            raise AccessDenied(f"{Verb.MOVE_TAG}: the tag {tag} points to another manifest already")
        await point(tx, repository_id, tag, manifest_id, before=before)
        await tag_rows.remember(
            tx, tag_rows.Move(repository_id, tag, "moved" if before else "created", before, digest, event_id)
        )
        moved.append(tag)
    return moved


async def point(tx: Transaction, repository_id: int, tag: TagName, manifest_id: int, *, before: Digest | None) -> None:
    """Points a tag to another manifest than `before`. Raises Pinned."""
    if before is not None and (pin := await pins.of_tag(tx, repository_id, tag)) is not None:
        raise pinned(pin)
    await tag_rows.point(tx, repository_id, tag, manifest_id)
    await tag_rows.tagged(tx, manifest_id)
    if before is not None:
        await tag_rows.left(tx, repository_id, before)
