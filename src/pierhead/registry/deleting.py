"""Putting a tag, or a manifest with what belongs to it, into the trash. The transaction has locked its repository.

What is deleted is hidden at once and keeps its rows; see `registry/trash` for the way back.
"""

from dataclasses import dataclass

from pierhead.errors import Pinned, StillNeeded
from pierhead.metadata import copies, events, pins, trash
from pierhead.metadata import manifests as manifest_rows
from pierhead.metadata import tags as tag_rows
from pierhead.metadata.database import Transaction
from pierhead.metadata.manifests import Held
from pierhead.metadata.pins import Pin
from pierhead.models import Actor, Digest, RepositoryName, TagName, moment
from pierhead.registry import belongings

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
    ) -> None:
        """Raises Pinned. The manifest stays."""
        if (pin := await pins.of_tag(tx, repository_id, tag)) is not None:
            raise pinned(pin)
        digest = target.digest
        trash_id = await trash.add(tx, "tag", repository_id, tag=tag, digest=digest, actor=actor.name, keep=self.keep)
        await trash.add_tags(tx, trash_id, repository_id, [(tag, target.id)])
        event_id = await events.record(tx, "tag.deleted", repository_id, actor, tag=tag, before=digest)
        await _drop_tag(tx, repository_id, tag, digest, event_id)
        if self.copied:
            await copies.owe(tx, "deleted", digest, repository=repository, tag=tag)

    async def manifest(
        self, tx: Transaction, repository: RepositoryName, repository_id: int, manifest: Held, *, actor: Actor
    ) -> None:
        """With all tags that point to it, and what belongs to it. Raises StillNeeded, Pinned."""
        await self.require_unneeded(tx, repository_id, manifest.digest)
        if (pin := await pins.of_manifest(tx, repository_id, manifest.id, manifest.digest)) is not None:
            raise pinned(pin)
        going = await belongings.of(tx, repository_id, manifest)
        trash_id = await trash.add(
            tx, "manifest", repository_id, digest=manifest.digest, actor=actor.name, keep=self.keep
        )
        await trash.add_tags(tx, trash_id, repository_id, [(tag, target.id) for tag, target in going.tags])
        for one in going.manifests.values():
            reason = None if one is manifest else f"belongs to {manifest.digest}"
            event_id = await events.record(
                tx, "manifest.deleted", repository_id, actor, before=one.digest, reason=reason
            )
            for tag in [tag for tag, target in going.tags if target is one]:
                await _drop_tag(tx, repository_id, tag, one.digest, event_id)
            if self.copied:
                await copies.owe(tx, "deleted", one.digest, repository=repository)
        await manifest_rows.throw_away(tx, going.manifests, trash_id)

    async def require_unneeded(self, tx: Transaction, repository_id: int, digest: Digest) -> None:
        """Raises StillNeeded where a manifest of the repository needs it, Pinned where a pinned one does."""
        seen: set[int] = set()
        asked = [digest]
        while asked:
            part = asked.pop()
            for parent in await manifest_rows.parents(tx, repository_id, part):
                if not parent.live or parent.id in seen:
                    continue
                if not self.allow_needed:
                    raise StillNeeded(f"{part} is part of {parent.digest}")
                if (pin := await pins.of_manifest(tx, repository_id, parent.id, parent.digest)) is not None:
                    raise pinned(pin)
                seen.add(parent.id)
                asked.append(parent.digest)


def pinned(pin: Pin) -> Pinned:
    until = f" until {moment(pin.until)}" if pin.until is not None else ""
    return Pinned(f"{pin.tag or pin.digest}, by {pin.actor}{until}: {pin.reason}")


async def _drop_tag(tx: Transaction, repository_id: int, tag: TagName, digest: Digest, event_id: int) -> None:
    await tag_rows.remove(tx, repository_id, tag)
    await tag_rows.left(tx, repository_id, digest)
    await tag_rows.remember(tx, tag_rows.Move(repository_id, tag, "deleted", digest, None, event_id))
