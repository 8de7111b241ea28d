"""Pins: what nobody moves or removes, why, and until when.

A pinned tag stays where it points, and its manifest stays; a pinned digest stays, whatever its tags do. What a pinned
manifest needs stays too. A pin whose time is over does nothing.
"""

from dataclasses import dataclass

from pierhead.errors import ManifestUnknown, RepositoryUnknown
from pierhead.metadata import events, locks, manifests, repositories, tags, trash
from pierhead.metadata import pins as rows
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.pins import Pin
from pierhead.models import Actor, Digest, RepositoryName, TagName


@dataclass(frozen=True, slots=True)
class PinPage:
    pins: list[tuple[RepositoryName, Pin]]
    more: bool


class Pins:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self,
        repository: RepositoryName,
        target: TagName | Digest,
        *,
        reason: str,
        until: int | None = None,
        actor: Actor,
    ) -> Pin:
        """Pins what is there, for ever or until a moment; a second pin on it takes the place of the first.

        Raises RepositoryUnknown, ManifestUnknown.
        """

        async def add(tx: Transaction) -> Pin:
            # Whoever moves or deletes something in the repository comes before it or after it.
            await tx.lock(locks.repository(repository))
            repository_id = await _identify(tx, repository)
            digest = await _require(tx, repository, repository_id, target)
            made = await rows.put(tx, repository_id, target, reason=reason, actor=actor.name, until=until)
            await events.record(
                tx, "pin.added", repository_id, actor, tag=_tag(target), after=digest, reason=reason or None
            )
            if await repositories.identify(tx, repository) != repository_id:
                raise RepositoryUnknown(f"{repository} went into the trash with its project")
            pin = await rows.find(tx, made)
            assert pin is not None  # noqa: S101  it was written in this very transaction
            return pin

        return await self._database.write(add)

    async def remove(self, repository: RepositoryName, target: TagName | Digest, *, actor: Actor) -> bool:
        """Whether there was a pin to take off. Raises RepositoryUnknown."""

        async def remove(tx: Transaction) -> bool:
            await tx.lock(locks.repository(repository))
            repository_id = await _identify(tx, repository)
            if not await rows.remove(tx, repository_id, target):
                return False
            before = target if isinstance(target, Digest) else await tags.target(tx, repository_id, target)
            await events.record(tx, "pin.removed", repository_id, actor, tag=_tag(target), before=before)
            return True

        return await self._database.write(remove)

    async def page(self, repository: RepositoryName | None = None, *, after: int = 0, size: int) -> PinPage:
        """Pins past an id in order, those whose time is over too, of one repository or of all."""
        found = await self._database.read(lambda tx: rows.page(tx, repository, after=after, limit=size + 1))
        return PinPage(found[:size], more=len(found) > size)


def _tag(target: TagName | Digest) -> TagName | None:
    return target if isinstance(target, TagName) else None


async def _identify(tx: Transaction, repository: RepositoryName) -> int:
    repository_id = await repositories.identify(tx, repository)
    if repository_id is None:
        entry = await trash.with_repository(tx, repository)
        raise RepositoryUnknown(f"{repository} is in the trash; restore it first" if entry else repository)
    return repository_id


async def _require(tx: Transaction, repository: RepositoryName, repository_id: int, target: TagName | Digest) -> Digest:
    """The digest that is pinned. Raises ManifestUnknown, and says so where the trash has it."""
    if isinstance(target, Digest):
        held = await manifests.find(tx, repository_id, target)
        if held is not None and held.live:
            return target
        named, trashed = f"{repository}@{target}", held is not None
    else:
        digest = await tags.target(tx, repository_id, target)
        if digest is not None:
            return digest
        named, trashed = f"{repository}:{target}", await trash.with_tag(tx, repository_id, target) is not None
    raise ManifestUnknown(f"{named} is in the trash; restore it first" if trashed else named)
