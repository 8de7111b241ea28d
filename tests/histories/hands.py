"""What a client or an operator does to a registry, asked of the layer that decides. Refusals are raised."""

from dataclasses import dataclass

from pierhead.models import Actor, Digest, RepositoryName, TagName
from pierhead.registry.registry import Registry
from tests.histories.works import Content, Work

ACTOR = Actor("alice", credential="basic", agent="histories")
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Hands:
    registry: Registry
    actor: Actor = ACTOR

    async def push_blob(self, repository: str, content: Content) -> None:
        name, uploads = RepositoryName(repository), self.registry.uploads
        upload = await uploads.start(name)
        if uploads.takes_whole(len(content.data)):
            await uploads.push(upload, content.digest, content.data, actor=self.actor, told=False)
            return
        async with uploads.receive(name, upload.id, told=False) as receiving:
            await receiving.write(content.data)
            await receiving.finish(content.digest, actor=self.actor)

    async def head(self, repository: str, digest: Digest) -> None:
        """As whoever may push is answered: see `distribution.blobs`."""
        await self.registry.blobs.find(RepositoryName(repository), digest)
        await self.registry.blobs.lease(RepositoryName(repository), digest)

    async def mount(self, repository: str, digest: Digest, source: str | None) -> bool:
        return await self.registry.blobs.mount(
            RepositoryName(repository),
            digest,
            source=RepositoryName(source) if source else None,
            may_pull=lambda _: True,
            actor=self.actor,
        )

    async def put(self, repository: str, work: Work, *tags: str) -> None:
        await self.registry.manifests.push(
            RepositoryName(repository),
            TagName(tags[0]) if tags else work.digest,
            work.text,
            content_type=work.media_type,
            tags=tuple(map(TagName, tags[1:])),
            actor=self.actor,
        )

    async def delete_tag(self, repository: str, tag: str) -> None:
        await self.registry.tags.delete(RepositoryName(repository), TagName(tag), actor=self.actor)

    async def delete_manifest(self, repository: str, digest: Digest) -> None:
        await self.registry.manifests.delete(RepositoryName(repository), digest, actor=self.actor)

    async def delete_blob(self, repository: str, digest: Digest) -> None:
        await self.registry.blobs.delete(RepositoryName(repository), digest, actor=self.actor)

    async def tags(self, repository: str) -> list[str]:
        page = await self.registry.tags.page(RepositoryName(repository), after="", size=PAGE)
        return [str(name) for name in page.names]

    async def manifest(self, repository: str, reference: str) -> tuple[Digest, bytes]:
        """By a tag, or by a digest."""
        what = Digest(reference) if ":" in reference else TagName(reference)
        found = await self.registry.manifests.find(RepositoryName(repository), what)
        return found.digest, await self.registry.manifests.content(found)

    async def blob(self, repository: str, digest: Digest) -> bytes:
        """Raises BlobUnknown, and BlobMissing where its row is there and its bytes are not."""
        blobs, name = self.registry.blobs, RepositoryName(repository)
        found = await blobs.find(name, digest)
        if found.inline:
            return await blobs.content(name, found) or b""
        reader = await blobs.open(name, found)
        try:
            return b"".join([bytes(chunk) async for chunk in reader.chunks(0, found.size)])
        finally:
            reader.close()
