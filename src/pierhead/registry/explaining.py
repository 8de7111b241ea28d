"""Why content is there: who holds a blob, what needs it, what keeps that, and when it goes.

A base layer may be in ten thousand manifests: of everything there is how many, and some. `usage` and `removals` tell
what would be free without it. An upload session keeps nothing: what it became is held by its repository.
"""

from dataclasses import dataclass
from functools import partial

from pierhead.errors import ContentUnknown
from pierhead.metadata import clock, holds, pins, unreferenced
from pierhead.metadata import explaining as rows
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.explaining import Holder, Place
from pierhead.metadata.pins import Pin
from pierhead.models import Digest, TagName

_HOUR = 3_600_000_000  # microseconds
_NAMES = 5  # tags and indexes that are told of one manifest
LIMIT = 20


@dataclass(frozen=True, slots=True)
class Listing:
    """A manifest of the same repository that lists another one, with some of its tags."""

    digest: Digest
    tags: tuple[TagName, ...]
    kept_until: int | None  # in the trash until then


@dataclass(frozen=True, slots=True)
class Reason:
    """A manifest that is there, and what keeps it."""

    place: Place
    tags: tuple[TagName, ...]  # some
    indexes: tuple[Listing, ...]  # some
    subject: Digest | None
    pin: Pin | None


@dataclass(frozen=True, slots=True)
class Holding:
    """A repository that holds a blob, and whether a manifest of it needs it, one in the trash too."""

    holder: Holder
    needed: bool


@dataclass(frozen=True, slots=True)
class HeldBlob:
    """Why a blob is there. Of repositories and manifests there are the first; `holders` and `manifests` count all."""

    size: int  # bytes
    created_at: int  # microseconds since 1970
    damage: str | None
    holders: int
    held_by: tuple[Holding, ...]
    manifests: int
    needed_by: tuple[Reason, ...]
    goes_at: int | None  # at the earliest; None while a manifest needs it, one in the trash too


@dataclass(frozen=True, slots=True)
class HeldManifest:
    """Why a manifest is there, in each repository that has it: the first of so many."""

    size: int  # bytes
    repositories: int
    places: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Explained:
    """What a digest is, one of both or both."""

    digest: Digest
    blob: HeldBlob | None
    manifest: HeldManifest | None
    doomed: int  # bytes of the digest from before, that are still to be removed
    copying: bool  # the registry is being copied, so that nothing is removed


class Explaining:
    def __init__(self, database: Database, *, grace_hours: float) -> None:
        self._database = database
        self._grace = int(grace_hours * _HOUR)

    async def why(self, digest: Digest, *, limit: int = LIMIT) -> Explained:
        """Raises ContentUnknown."""
        return await self._database.read(partial(self._why, digest=digest, limit=limit))

    async def _why(self, tx: Transaction, digest: Digest, limit: int) -> Explained:
        explained = Explained(
            digest,
            await self._blob(tx, digest, limit),
            await _manifest(tx, digest, limit),
            await rows.count_doomed(tx, digest),
            await holds.held(tx),
        )
        if explained.blob is None and explained.manifest is None and not explained.doomed:
            raise ContentUnknown(digest)
        return explained

    async def _blob(self, tx: Transaction, digest: Digest, limit: int) -> HeldBlob | None:
        stored = await rows.stored(tx, digest)
        if stored is None:
            return None
        held_by = await rows.holders(tx, digest, after=0, limit=limit)
        needing = await rows.listing(tx, digest, after=0, limit=limit)
        return HeldBlob(
            stored.size,
            stored.created_at,
            stored.damage,
            await rows.count_holders(tx, digest),
            tuple([await _holding(tx, holder, digest) for holder in held_by]),
            await rows.count_listing(tx, digest),
            tuple([await _reason(tx, place) for place in needing]),
            None if needing else await self._goes_at(tx, digest),
        )

    async def _goes_at(self, tx: Transaction, digest: Digest) -> int:
        """When the last of those lets go who noted a blob that no manifest needs."""
        last = await rows.last_note(tx, digest, grace=self._grace)
        return await clock.read(tx) if last is None else last


async def _holding(tx: Transaction, holder: Holder, digest: Digest) -> Holding:
    # What is needed by none has been noted, always.
    needed = holder.since is None or await unreferenced.is_referenced(tx, holder.repository_id, digest)
    return Holding(holder, needed)


async def _manifest(tx: Transaction, digest: Digest, limit: int) -> HeldManifest | None:
    places = await rows.places(tx, digest, after=0, limit=limit)
    if not places:
        return None
    size = await rows.size(tx, digest)
    reasons = tuple([await _reason(tx, place) for place in places])
    return HeldManifest(size or 0, await rows.count_places(tx, digest), reasons)


async def _reason(tx: Transaction, place: Place) -> Reason:
    listing = await rows.listing_in(tx, place.repository_id, place.digest, limit=_NAMES)
    return Reason(
        place,
        tuple(await rows.tags(tx, place.manifest_id, limit=_NAMES)),
        tuple([await _listing(tx, parent) for parent in listing]),
        await rows.subject(tx, place.manifest_id),
        await pins.of_manifest(tx, place.repository_id, place.manifest_id, place.digest),
    )


async def _listing(tx: Transaction, parent: Place) -> Listing:
    return Listing(parent.digest, tuple(await rows.tags(tx, parent.manifest_id, limit=_NAMES)), parent.kept_until)
