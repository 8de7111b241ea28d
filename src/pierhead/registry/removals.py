"""What deleting a manifest would take along, and what would be free once that is purged and collected.

Nothing is changed to find out. What goes along is what `deleting` takes along; what stays of it in the trash is what
purging hands over to an earlier deletion that lists it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pierhead.errors import Pinned, StillNeeded
from pierhead.metadata import manifests as manifest_rows
from pierhead.metadata import pins, usage
from pierhead.metadata.database import Transaction
from pierhead.metadata.manifests import Held
from pierhead.metadata.usage import Part
from pierhead.models import Digest, TagName
from pierhead.registry import belongings
from pierhead.registry.deleting import Deleting, pinned


@dataclass(frozen=True, slots=True)
class Removal:
    """Of a manifest, with what goes along; of one in the trash, of all that went with it."""

    manifest: Digest  # that was asked about
    in_trash: bool
    manifests: tuple[Digest, ...]
    tags: tuple[TagName, ...]
    kept: tuple[Digest, ...]  # of these, what an earlier deletion in the trash lists: it goes with that
    freed: tuple[Part, ...]  # blobs and bytes of manifests, in their order
    shared: tuple[Part, ...]  # what stays, since something else keeps it
    refused: str | None = None  # why it cannot be deleted now

    @property
    def freed_bytes(self) -> int:
        return sum(part.size for part in self.freed)

    @property
    def count(self) -> int:
        """Blobs and manifests that are free then."""
        return len(self.freed)

    @property
    def shared_bytes(self) -> int:
        return sum(part.size for part in self.shared)


async def of(tx: Transaction, repository_id: int, manifest: Held, *, deleting: Deleting) -> Removal:
    """The transaction reads one state."""
    if manifest.trash_id is not None:
        gone = await usage.in_entry(tx, manifest.trash_id)
        return await _removal(tx, repository_id, manifest, gone)
    going = await belongings.of(tx, repository_id, manifest)
    refused = await _refusal(tx, repository_id, manifest, deleting)
    tags = tuple(sorted(tag for tag, _ in going.tags))
    return await _removal(tx, repository_id, manifest, going.manifests.values(), tags=tags, refused=refused)


async def _refusal(tx: Transaction, repository_id: int, manifest: Held, deleting: Deleting) -> str | None:
    try:
        await deleting.require_unneeded(tx, repository_id, manifest.digest)
    except (StillNeeded, Pinned) as refusal:
        return str(refusal)
    pin = await pins.of_manifest(tx, repository_id, manifest.id, manifest.digest)
    return None if pin is None else f"{pinned(pin)} holds it"


async def _removal(
    tx: Transaction,
    repository_id: int,
    asked: Held,
    manifests: Iterable[Held],
    *,
    tags: tuple[TagName, ...] = (),
    refused: str | None = None,
) -> Removal:
    going = {one.id: one.digest for one in manifests}
    kept = await _kept(tx, repository_id, set(going), asked.trash_id)
    ids = [identity for identity in going if identity not in kept]
    parts = await usage.parts(tx, repository_id, ids) + await usage.contents(tx, repository_id, ids)
    parts.sort(key=lambda part: (part.digest, part.size))
    return Removal(
        manifest=asked.digest,
        in_trash=not asked.live,
        manifests=tuple(going.values()),
        tags=tags,
        kept=tuple(going[identity] for identity in sorted(kept)),
        freed=tuple(part for part in parts if not part.kept),
        shared=tuple(part for part in parts if part.kept),
        refused=refused,
    )


async def _kept(tx: Transaction, repository_id: int, going: set[int], entry: int | None) -> set[int]:
    """What of it another entry of the trash lists, and what is listed by that in turn."""
    kept = await usage.listed_in_trash(tx, repository_id, sorted(going), other_than=entry)
    new = set(kept)
    while new:
        listed = {child.id for identity in sorted(new) for child in await manifest_rows.children(tx, identity)}
        new = (listed & going) - kept
        kept |= new
    return kept
