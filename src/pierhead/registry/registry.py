"""Everything that a registry does, by noun. Faces (`distribution`, `api`, `cli`) ask it, and nothing below it."""

from typing import Protocol

from pierhead.blobs.store import BlobStore, KeepsCopies
from pierhead.metadata.database import Copyable
from pierhead.metadata.unreferenced import Lease
from pierhead.registry.audit import Audit
from pierhead.registry.blobs import Blobs
from pierhead.registry.clock import Clock
from pierhead.registry.collector import Collector
from pierhead.registry.contents import Contents
from pierhead.registry.copies import Copies
from pierhead.registry.damage import Damage
from pierhead.registry.deleting import Deleting
from pierhead.registry.explaining import Explaining
from pierhead.registry.history import History
from pierhead.registry.manifests import Manifests
from pierhead.registry.marks import Marks
from pierhead.registry.pins import Pins
from pierhead.registry.promotions import Promotions
from pierhead.registry.referrers import Referrers
from pierhead.registry.repositories import Repositories
from pierhead.registry.scrub import Scrub
from pierhead.registry.stale import Stale
from pierhead.registry.tags import Tags
from pierhead.registry.trash import Trash
from pierhead.registry.untagged import Expiry
from pierhead.registry.uploads import Uploads
from pierhead.registry.usage import Usage
from pierhead.settings import Settings

_SMALL_BLOB_BYTES = 32 * 1024


class Observe(Protocol):
    """What becomes of numbers that only the rules know."""

    def damaged(self, by: str, what: str) -> None:
        """Somebody found that a blob or a manifest is not what it was."""
        ...

    def scrubbed(self, blobs: int, size: int) -> None:
        """So many were read again, with so many bytes."""
        ...

    def audit_dropped(self, events: int) -> None:
        """So many pulls, sign-ins or refusals were not written down."""
        ...


class Unobserved:
    """Counts nothing."""

    def damaged(self, by: str, what: str) -> None: ...

    def scrubbed(self, blobs: int, size: int) -> None: ...

    def audit_dropped(self, events: int) -> None: ...


UNOBSERVED = Unobserved()


class Registry:
    """`copies` is the store where it shall keep copies of what is in rows."""

    def __init__(
        self,
        database: Copyable,
        store: BlobStore,
        settings: Settings,
        *,
        copies: KeepsCopies | None = None,
        observe: Observe = UNOBSERVED,
    ) -> None:
        copied = copies is not None
        half = settings.cache.content_bytes // 2
        manifests = Contents(half, item_max=settings.manifests.max_size)
        stale = Stale(database, settings.database.stale_seconds) if settings.database.serve_stale else None
        needed = settings.manifests.allow_delete_needed
        deleting = Deleting(settings.trash.keep_hours, allow_needed=needed, copied=copied)
        lease = Lease(settings.uploads.lease_seconds)
        clock = Clock(database)
        self.damage = Damage(database, store, observe.damaged)
        self.scrub = Scrub(database, store, self.damage, settings.scrub, observe.scrubbed)
        damage = self.damage
        self.repositories = Repositories(database)
        self.manifests = Manifests(
            database, manifests, settings.manifests, stale, deleting=deleting, lease=lease, damage=damage
        )
        self.tags = Tags(database, deleting=deleting)
        self.history = History(database)
        self.pins = Pins(database)
        self.promotions = Promotions(database, copied=copied)
        self.trash = Trash(database, deleting=deleting, lease=lease)
        self.untagged = Expiry(database, deleting, settings.untagged.keep_hours)
        self.marks = Marks(database, store)
        small = Contents(half, item_max=_SMALL_BLOB_BYTES)
        self.blobs = Blobs(database, store, small, stale, clock=clock, deleting=deleting, lease=lease, damage=damage)
        inline = settings.storage.inline_bytes
        self.uploads = Uploads(database, store, self.marks, settings.uploads, clock=clock, inline=inline, copied=copied)
        self.collector = Collector(database, store, settings.collection, copied=copied)
        self.referrers = Referrers(database)
        self.usage = Usage(database, deleting=deleting)
        self.explaining = Explaining(database, grace_hours=settings.collection.grace_hours)
        self.copies = Copies(database, copies) if copies else None
        self.audit = Audit(database, settings.audit, observe.audit_dropped)
