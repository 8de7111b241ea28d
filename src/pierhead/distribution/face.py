"""What every handler of the face needs, as one frozen value."""

from dataclasses import dataclass

from pierhead.access.authenticator import Access
from pierhead.access.proxy import Proxies
from pierhead.distribution.redirects import Redirects
from pierhead.distribution.slots import UploadSlots
from pierhead.observability.instruments import Gauge
from pierhead.registry.registry import Registry
from pierhead.settings import Settings


@dataclass(frozen=True, slots=True)
class Face:
    registry: Registry
    access: Access
    proxies: Proxies
    upload_slots: UploadSlots
    public_url: str  # "" for relative locations
    page_size: int  # entries
    manifest_max_size: int  # bytes
    chunk_min_length: int  # bytes
    idle_body_seconds: float
    trusts_proxies: bool
    redirects: Redirects
    token_service: str  # what the registry is called in tokens

    @classmethod
    def of(cls, registry: Registry, access: Access, settings: Settings, gauge: Gauge) -> "Face":
        return cls(
            registry=registry,
            access=access,
            proxies=Proxies(settings.server.trusted_proxies),
            upload_slots=UploadSlots(settings.uploads.max_concurrent, gauge),
            public_url=settings.server.public_url or "",
            page_size=settings.listing.page_size,
            manifest_max_size=settings.manifests.max_size,
            chunk_min_length=settings.uploads.chunk_min_length,
            idle_body_seconds=settings.server.idle_body_seconds,
            trusts_proxies=bool(settings.server.trusted_proxies),
            redirects=Redirects.of(settings.storage),
            token_service=settings.tokens.service,
        )
