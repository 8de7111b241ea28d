"""Tags: listing and deleting them. Pushing a manifest is what moves them."""

from dataclasses import dataclass

from pierhead.errors import ManifestUnknown, RepositoryUnknown
from pierhead.metadata import locks, manifests, repositories
from pierhead.metadata import tags as rows
from pierhead.metadata.database import Database, Transaction
from pierhead.models import Actor, RepositoryName, TagName
from pierhead.registry import preconditions
from pierhead.registry.deleting import Deleting
from pierhead.registry.preconditions import Precondition


@dataclass(frozen=True, slots=True)
class TagPage:
    names: list[TagName]
    more: bool


class Tags:
    def __init__(self, database: Database, *, deleting: Deleting) -> None:
        self._database = database
        self._deleting = deleting

    async def page(self, repository: RepositoryName, *, after: str, size: int) -> TagPage:
        """Raises RepositoryUnknown."""
        # One row beyond the page tells whether there is a next one.
        names = await self._database.read(lambda tx: rows.names_after(tx, repository, after, limit=size + 1))
        if names is None:
            raise RepositoryUnknown(repository)
        return TagPage(names[:size], more=len(names) > size)

    async def delete(
        self,
        repository: RepositoryName,
        tag: TagName,
        *,
        precondition: Precondition = preconditions.NONE,
        reason: str | None = None,
        actor: Actor,
    ) -> None:
        """Puts a tag into the trash; its manifest stays.

        Raises RepositoryUnknown, ManifestUnknown, PreconditionFailed, Pinned.
        """

        async def delete(tx: Transaction) -> None:
            await tx.lock(locks.repository(repository, shared=True), locks.tag(repository, tag))
            repository_id = await repositories.identify(tx, repository)
            if repository_id is None:
                raise RepositoryUnknown(repository)
            before = await rows.target(tx, repository_id, tag)
            target = await manifests.find(tx, repository_id, before) if before else None
            if target is None:
                raise ManifestUnknown(tag)
            await self._deleting.tag(tx, repository, repository_id, tag, target, actor=actor, reason=reason)
            precondition.require(before)  # last: what would be refused anyway is not asked for it (RFC 9110 §13.2.1)

        await self._database.write(delete)
