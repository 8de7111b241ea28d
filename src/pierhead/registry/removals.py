"""What deleting a manifest would take along, and what would be free once that is purged and collected.

It is deleted, looked at, and the transaction is taken back: so it is told what really goes along. What stays of it in
the trash is what purging hands over to an earlier deletion that lists it.
"""

from dataclasses import dataclass

from pierhead.errors import Pinned, StillNeeded
from pierhead.metadata import belongings, pins, trash, usage
from pierhead.metadata import manifests as manifest_rows
from pierhead.metadata.database import Database, Operation, Transaction
from pierhead.metadata.manifests import Held
from pierhead.metadata.usage import Part
from pierhead.models import Digest, TagName
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


class _Rehearsed(Exception):
    def __init__(self, removal: Removal) -> None:
        super().__init__()
        self.removal = removal


async def rehearse(tx: Transaction, repository_id: int, manifest: Held, *, deleting: Deleting) -> Removal:
    """In a transaction that locked the repository. Of one in the trash what is in its entry; else it never returns."""
    if manifest.trash_id is not None:
        return await _removal(tx, repository_id, manifest, manifest.trash_id)
    refused = await _refusal(tx, repository_id, manifest, deleting)
    trash_id = await trash.add(tx, "manifest", repository_id, digest=manifest.digest, actor="", keep=0)
    await manifest_rows.throw_away(tx, manifest.id, trash_id)
    while await belongings.follow(tx, repository_id, trash_id):
        pass
    tags = tuple(tag for tag, _ in await belongings.take_tags(tx, trash_id))
    raise _Rehearsed(await _removal(tx, repository_id, manifest, trash_id, tags=tags, refused=refused))


async def of(database: Database, rehearsal: Operation[Removal]) -> Removal:
    """What a rehearsal finds. It leaves nothing behind."""
    try:
        return await database.write(rehearsal, durable=False)
    except _Rehearsed as rehearsed:
        return rehearsed.removal


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
    trash_id: int,
    *,
    tags: tuple[TagName, ...] = (),
    refused: str | None = None,
) -> Removal:
    going = {one.id: one.digest for one in await usage.in_entry(tx, trash_id)}
    kept = await _kept(tx, repository_id, set(going), trash_id)
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


async def _kept(tx: Transaction, repository_id: int, going: set[int], entry: int) -> set[int]:
    """What of it another entry of the trash lists, and what is listed by that in turn."""
    kept = await usage.listed_in_trash(tx, repository_id, sorted(going), other_than=entry)
    new = set(kept)
    while new:
        new = (await usage.listed_by(tx, repository_id, sorted(new)) & going) - kept
        kept |= new
    return kept
