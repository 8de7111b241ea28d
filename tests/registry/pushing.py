"""A registry on the spot, and short words for what tests do in it."""

import hashlib
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pierhead.blobs.files import FileStore
from pierhead.errors import BlobUnknown, ManifestUnknown, RepositoryUnknown
from pierhead.metadata.database import Database, Row, Value
from pierhead.models import Actor, Digest, RepositoryName, TagName
from pierhead.registry.documents import OCI_INDEX
from pierhead.registry.registry import Registry
from pierhead.settings import Settings, StorageSettings
from tests.contracts.database import Place

ALICE = Actor("alice", credential="basic")
APP = RepositoryName("team/app")
IMAGE = "application/vnd.oci.image.manifest.v1+json"


def digest_of(content: bytes) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(content).hexdigest()}")


@dataclass(frozen=True, slots=True)
class Pushing:
    """What is pushed is told by its text: the same text is the same digest."""

    registry: Registry
    database: Database
    repository: RepositoryName = APP

    def elsewhere(self, name: str) -> "Pushing":
        return Pushing(self.registry, self.database, RepositoryName(name))

    async def blob(self, text: str) -> Digest:
        upload = await self.registry.uploads.start(self.repository)
        await self.registry.uploads.push(upload, digest_of(text.encode()), text.encode(), actor=ALICE)
        return digest_of(text.encode())

    async def image(self, text: str, *tags: str, subject: Digest | None = None) -> Digest:
        """Of one layer; `subject` makes it a referrer."""
        layer = await self.blob(text)
        config = await self.blob("{}")
        document: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": IMAGE,
            "config": {"mediaType": "application/json", "digest": config, "size": 2},
            "layers": [{"mediaType": "application/octet-stream", "digest": layer, "size": len(text)}],
        }
        if subject:
            document |= {"subject": {"mediaType": IMAGE, "digest": subject, "size": 1}}
        return await self.manifest(document, *tags)

    async def index(self, digests: Iterable[Digest], *tags: str, note: str = "") -> Digest:
        listed = [{"mediaType": IMAGE, "digest": digest, "size": 1} for digest in digests]
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed, "annotations": {"note": note}}
        return await self.manifest(document, *tags)

    async def manifest(self, document: dict[str, Any], *tags: str) -> Digest:
        content = json.dumps(document).encode()
        pushed = await self.registry.manifests.push(
            self.repository,
            digest_of(content),
            content,
            content_type=document["mediaType"],
            tags=tuple(map(TagName, tags)),
            actor=ALICE,
        )
        return pushed.digest

    async def delete(self, reference: str) -> None:
        if ":" in reference:
            await self.registry.manifests.delete(self.repository, Digest(reference), actor=ALICE)
        else:
            await self.registry.tags.delete(self.repository, TagName(reference), actor=ALICE)

    async def has(self, reference: str) -> bool:
        """Whether somebody who pulls finds a manifest, with all its blobs."""
        name = Digest(reference) if ":" in reference else TagName(reference)
        try:
            manifest = await self.registry.manifests.find(self.repository, name)
            document = json.loads(await self.registry.manifests.content(manifest))
            for part in [*document.get("layers", []), *([document["config"]] if "config" in document else [])]:
                await self.registry.blobs.find(self.repository, Digest(part["digest"]))
        except (ManifestUnknown, RepositoryUnknown, BlobUnknown):
            return False
        return True

    async def tags(self) -> list[str]:
        return list((await self.registry.tags.page(self.repository, after="", size=100)).names)

    async def target(self, tag: str) -> Digest:
        return (await self.registry.manifests.find(self.repository, TagName(tag))).digest

    async def rows(self, sql: str, **parameters: Value) -> list[Row]:
        return await self.database.read(lambda tx: tx.fetch_all(sql, **parameters))

    async def change(self, sql: str, **parameters: Value) -> int:
        return await self.database.write(lambda tx: tx.execute(sql, **parameters))

    async def let_time_pass(self, hours: float) -> None:
        """For what is in the trash."""
        await self.change("UPDATE trash SET goes_at = goes_at - :past", past=int(hours * 3_600_000_000))

    async def history(self, tag: str) -> list[tuple[str, Digest | None, Digest | None]]:
        return await self.rows("SELECT action, before, after FROM tag_history WHERE name = :tag ORDER BY id", tag=tag)


@asynccontextmanager
async def pushing(place: Place, folder: Path, settings: Settings | None = None) -> AsyncIterator[Pushing]:
    storage = StorageSettings(min_free_bytes=0)
    async with place.open() as database, FileStore(folder / "files", storage) as store:
        yield Pushing(Registry(database, store, settings or Settings(), copies=store), database)
