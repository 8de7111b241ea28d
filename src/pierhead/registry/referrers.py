"""Referrers: the manifests that name another one as their subject."""

import json
from dataclasses import dataclass
from typing import Any

from pierhead.metadata import manifests
from pierhead.metadata import referrers as rows
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.referrers import Referrer
from pierhead.models import Digest, Manifest, RepositoryName, TagName
from pierhead.registry.documents import INDEXES

# image-spec asks clients to take manifests, and so these indexes, of 4 MiB.
_PAGE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ReferrerPage:
    descriptors: list[dict[str, Any]]  # as the specification's index lists them
    last: Digest | None  # where the next page begins; None at the end


class Referrers:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, repository: RepositoryName, subject: Digest, *, artifact_type: str | None, after: str, size: int
    ) -> ReferrerPage:
        """Referrers in the order of their digests; the last page adds those that only the fallback tag lists."""

        async def page(tx: Transaction) -> ReferrerPage:
            found = await rows.after(tx, repository, subject, after, artifact_type=artifact_type, limit=size + 1)
            fitting = _fitting(found[:size])
            descriptors = [_descriptor(referrer) for referrer in found[:fitting]]
            if len(found) > fitting:
                return ReferrerPage(descriptors, found[fitting - 1].manifest.digest)
            descriptors += await _from_fallback_tag(tx, repository, subject, artifact_type)
            return ReferrerPage(descriptors, None)

        return await self._database.read(page)


def _fitting(referrers: list[Referrer]) -> int:
    """How many of them make a page: annotations may be as long as a manifest. At least one, where there is one."""
    room = _PAGE_BYTES
    for count, referrer in enumerate(referrers):
        room -= len(referrer.annotations or "")
        if room < 0 and count:
            return count
    return len(referrers)


def _descriptor(referrer: Referrer) -> dict[str, Any]:
    manifest = referrer.manifest
    descriptor: dict[str, Any] = {
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": manifest.size,
    }
    if referrer.artifact_type:
        descriptor["artifactType"] = referrer.artifact_type
    if referrer.annotations:
        descriptor["annotations"] = json.loads(referrer.annotations)
    return descriptor


def fallback_tag(subject: Digest) -> TagName:
    """distribution-spec 1.1.1, "Referrers Tag Schema": the tag that clients keep by hand elsewhere."""
    return TagName(f"{subject.algorithm[:32]}-{subject.hex[:64]}")


async def _from_fallback_tag(
    tx: Transaction, repository: RepositoryName, subject: Digest, artifact_type: str | None
) -> list[dict[str, Any]]:
    """What the fallback tag's index lists, is held here and does not name the subject itself."""
    index = await manifests.by_tag(tx, repository, fallback_tag(subject))
    if index is None or index.media_type not in INDEXES:
        return []
    content = await manifests.content(tx, index.digest)
    entries = json.loads(content or b"{}").get("manifests", [])
    return [
        entry
        for entry in entries
        if artifact_type in (None, entry.get("artifactType"))
        and await _only_by_tag(tx, repository, subject, Digest(entry["digest"]))
    ]


async def _only_by_tag(tx: Transaction, repository: RepositoryName, subject: Digest, digest: Digest) -> bool:
    held: Manifest | None = await manifests.by_digest(tx, repository, digest)
    return held is not None and not await rows.names(tx, repository, subject, digest)
