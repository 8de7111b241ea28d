"""Tags: listing and deleting them. Pushing a manifest is what moves them."""

from dataclasses import dataclass

from pierhead.errors import ManifestUnknown, RepositoryUnknown
from pierhead.metadata import events, locks, repositories
from pierhead.metadata import tags as rows
from pierhead.metadata.database import Database, Transaction
from pierhead.models import Actor, RepositoryName, TagName


@dataclass(frozen=True, slots=True)
class TagPage:
    names: list[TagName]
    more: bool


class Tags:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, repository: RepositoryName, *, after: str, size: int) -> TagPage:
        """Raises RepositoryUnknown."""
        # One row beyond the page tells whether there is a next one.
        names = await self._database.read(lambda tx: rows.names_after(tx, repository, after, limit=size + 1))
        if names is None:
            raise RepositoryUnknown(repository)
        return TagPage(names[:size], more=len(names) > size)

    async def delete(self, repository: RepositoryName, tag: TagName, *, actor: Actor) -> None:
        """Deletes a tag; its manifest stays. Raises RepositoryUnknown, ManifestUnknown."""

        async def delete(tx: Transaction) -> None:
            await tx.lock(locks.repository(repository, shared=True), locks.tag(repository, tag))
            repository_id = await repositories.identify(tx, repository)
            if repository_id is None:
                raise RepositoryUnknown(repository)
            before = await rows.target(tx, repository_id, tag)
            if before is None:
                raise ManifestUnknown(tag)
            event_id = await events.record(tx, "tag.deleted", repository_id, actor, tag=tag, before=before)
            await rows.remove(tx, repository_id, tag)
            await rows.remember(tx, rows.Move(repository_id, tag, "deleted", before, None, event_id))

        await self._database.write(delete)
