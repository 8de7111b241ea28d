"""Putting a tag, or a manifest with what belongs to it, into the trash. The transaction has locked its repository.

What is deleted is hidden at once and keeps its rows; see `registry/trash` for the way back.
"""

from dataclasses import dataclass

from pierhead.errors import Pinned, StillNeeded
from pierhead.metadata import belongings, copies, events, pins, trash
from pierhead.metadata import manifests as manifest_rows
from pierhead.metadata import tags as tag_rows
from pierhead.metadata.database import Transaction
from pierhead.metadata.manifests import Held
from pierhead.metadata.pins import Pin
from pierhead.metadata.tags import Move
from pierhead.models import Actor, Digest, RepositoryName, TagName, moment

_HOUR = 3_600_000_000  # microseconds


@dataclass(frozen=True, slots=True)
class Deleting:
    """How things are deleted here."""

    keep_hours: float  # in the trash
    allow_needed: bool = False
    copied: bool = False  # whether the store keeps copies of what happens

    @property
    def keep(self) -> int:
        return int(self.keep_hours * _HOUR)

    async def tag(
        self,
        tx: Transaction,
        repository: RepositoryName,
        repository_id: int,
        tag: TagName,
        target: Held,
        *,
        actor: Actor,
        reason: str | None = None,
    ) -> None:
        """Raises Pinned. The manifest stays."""
        if (pin := await pins.of_tag(tx, repository_id, tag)) is not None:
            raise pinned(pin)
        digest = target.digest
        trash_id = await trash.add(tx, "tag", repository_id, tag=tag, digest=digest, actor=actor.name, keep=self.keep)
        await trash.add_tags(tx, trash_id, repository_id, [(tag, target.id)])
        event_id = await events.record(tx, "tag.deleted", repository_id, actor, tag=tag, before=digest, reason=reason)
        await tag_rows.remove(tx, repository_id, tag)
        await tag_rows.left(tx, repository_id, digest)
        await tag_rows.remember(tx, Move(repository_id, tag, "deleted", digest, None, event_id))
        if self.copied:
            await copies.owe(tx, "deleted", digest, repository=repository, tag=tag)

    async def manifest(
        self,
        tx: Transaction,
        repository: RepositoryName,
        repository_id: int,
        manifest: Held,
        *,
        actor: Actor,
        reason: str | None = None,
    ) -> None:
        """With all tags that point to it, and what belongs to it. Raises StillNeeded, Pinned."""
        await self.require_unneeded(tx, repository_id, manifest.digest)
        if (pin := await pins.of_manifest(tx, repository_id, manifest.id, manifest.digest)) is not None:
            raise pinned(pin)
        trash_id = await trash.add(
            tx, "manifest", repository_id, digest=manifest.digest, actor=actor.name, keep=self.keep
        )
        await manifest_rows.throw_away(tx, manifest.id, trash_id)
        while await belongings.follow(tx, repository_id, trash_id):
            pass
        told = await events.record_deleted(tx, trash_id, actor, reason=reason, root=manifest.digest)
        moves = [
            Move(repository_id, tag, "deleted", digest, None, told[digest])
            for tag, digest in await belongings.take_tags(tx, trash_id)
        ]
        await tag_rows.remember_all(tx, moves)
        if self.copied:
            await copies.owe_deleted(tx, trash_id, repository)

    async def require_unneeded(self, tx: Transaction, repository_id: int, digest: Digest) -> None:
        """Raises StillNeeded where a manifest of the repository needs it, Pinned where a pinned one does."""
        if not self.allow_needed:
            if (needing := await manifest_rows.needing(tx, repository_id, digest)) is not None:
                raise StillNeeded(f"{digest} is part of {needing}")
        elif await pins.any_of(tx, repository_id):
            await _require_unpinned(tx, repository_id, digest)


async def _require_unpinned(tx: Transaction, repository_id: int, digest: Digest) -> None:
    """Raises Pinned where a manifest is pinned that needs it, or needs one that does, and so on."""
    looked, open_ = {digest}, [digest]
    while open_:
        for parent in await manifest_rows.parents(tx, repository_id, open_.pop()):
            if not parent.live or parent.digest in looked:
                continue
            if (pin := await pins.of_manifest(tx, repository_id, parent.id, parent.digest)) is not None:
                raise pinned(pin)
            looked.add(parent.digest)
            open_.append(parent.digest)


def pinned(pin: Pin) -> Pinned:
    until = f" until {moment(pin.until)}" if pin.until is not None else ""
    return Pinned(f"{pin.tag or pin.digest}, by {pin.actor}{until}: {pin.reason}")
