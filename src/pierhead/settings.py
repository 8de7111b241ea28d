"""Every setting with its unit, default and bounds, as one frozen tree.

Where the values come from, and how mistakes are told, is `configuration`. A part of the
program receives its section, never the whole.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from pierhead.access_settings import (
    AccessSettings,
    AuditSettings,
    CertificateSettings,
    HtpasswdSettings,
    LimitSettings,
    PageSettings,
    PasswordSettings,
    ProjectSettings,
    TokenSettings,
)
from pierhead.issuer_settings import IssuerSettings, KeylessSettings, OidcSettings, OutboundSettings
from pierhead.setting_kinds import (
    GIB,
    KIB,
    MIB,
    Bytes,
    DatabaseUrl,
    FilePath,
    Folder,
    Host,
    Networks,
    Origins,
    Patterns,
    PublicUrl,
    Section,
    StorageUrl,
)
from pierhead.source_settings import LdapSettings


class ServerSettings(Section):
    """Where the server listens and how it ends."""

    host: Host = Field(default="127.0.0.1", description="Address to bind.")
    port: int = Field(default=5000, ge=0, le=65535, description="TCP port to bind; 0 takes a free one.")
    data: Folder = Field(default=Path("pierhead-data"), description="Directory of the database and the blobs.")
    workers: int = Field(default=0, ge=0, le=256, description="Worker processes; 0: one for each processor, at most 4.")
    public_url: PublicUrl | None = Field(
        default=None, description="Makes Location headers absolute: scheme, host and port."
    )
    trusted_proxies: Networks = Field(
        default=(),
        description="Peers whose Forwarded and X-Forwarded-* headers are believed; from all others they are ignored.",
    )
    tls_certificate: FilePath | None = Field(
        default=None, description="PEM file of the certificate chain; re-read on change."
    )
    tls_key: FilePath | None = Field(default=None, description="PEM file of the certificate's key; re-read on change.")
    drain_seconds: float = Field(
        default=30, ge=0, le=3600, description="On SIGTERM, transfers in flight have so many seconds."
    )
    reload_drain_seconds: float = Field(
        default=3600,
        ge=0,
        le=86400,
        description="On a reload, transfers in flight may go on in the old workers for so long.",
    )
    idle_body_seconds: float = Field(
        default=60, ge=1, le=3600, description="A body that moves nothing for so long is cut, in either direction."
    )
    header_seconds: float = Field(
        default=30, ge=1, le=600, description="A request's headers must be complete so long after the last answer."
    )
    max_header_bytes: Bytes = Field(
        default=64 * KIB,
        ge=8 * KIB,
        le=16 * MIB,
        description="Longest headers of a request, in bytes; more than 100 headers are refused too.",
    )
    keep_alive: bool = Field(default=True, description="Whether an HTTP/1.1 connection serves more than one request.")
    max_connections: int = Field(
        default=16384,
        ge=16,
        le=1_000_000,
        description="Connections served at once, over all workers; more wait in the backlog.",
    )
    backlog: int = Field(default=1024, ge=128, le=65535, description="Connections that wait to be accepted.")


class ManifestSettings(Section):
    """What a manifest may be."""

    max_size: Bytes = Field(default=4 * MIB, ge=64 * KIB, le=64 * MIB, description="Largest manifest, in bytes.")
    max_references: int = Field(default=4096, ge=1, le=100_000, description="Most descriptors in one manifest.")
    allow_sparse: bool = Field(default=False, description="Accept manifests whose blobs or manifests are not here.")
    allow_delete_needed: bool = Field(
        default=False, description="Let clients delete blobs and manifests that a manifest of the repository needs."
    )


class UploadSettings(Section):
    """Upload sessions."""

    idle_expiry_hours: float = Field(
        default=24 * 7, ge=1, le=24 * 365, description="An idle session is removed after so long."
    )
    finished_hours: float = Field(
        default=24, ge=1, le=24 * 30, description="A finished session is remembered for so long."
    )
    chunk_min_length: Bytes = Field(
        default=64 * KIB,
        ge=0,
        le=GIB,
        description="OCI-Chunk-Min-Length, as advice to clients, in bytes; 0 sends none.",
    )
    max_size: Bytes = Field(default=0, ge=0, description="Largest blob, in bytes; 0: no limit.")
    takeover_seconds: float = Field(
        default=120, ge=10, le=86400, description="A session whose writer is silent for so long may be taken over."
    )
    max_concurrent: int = Field(
        default=64, ge=1, le=10_000, description="Uploads that write at once per worker (bounds memory)."
    )
    lease_seconds: float = Field(
        default=3600,
        ge=1,
        le=7 * 86400,
        description="Who was told that a blob is there has so long to push the manifest that names it.",
    )


class TrashSettings(Section):
    """What was deleted and can come back."""

    keep_hours: float = Field(
        default=24 * 14,
        ge=0,
        le=24 * 3660,
        description="What was deleted can be restored for so long; a project may have its own time.",
    )


class UntaggedSettings(Section):
    """Manifests that no tag points to."""

    keep_hours: float | None = Field(
        default=None,
        ge=1,
        le=24 * 3660,
        description="They go to the trash after so long; unset: they stay, since clusters pin images by digest.",
    )


class CollectionSettings(Section):
    """Removing blobs that no manifest needs."""

    grace_hours: float = Field(
        default=24, ge=0, le=24 * 365, description="A blob that nothing needs any more stays for so long."
    )
    share: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="The part of the time that a process spends on it; after each step it rests for the other part.",
    )


class ScrubSettings(Section):
    """Reading all blobs again, slowly, to find out what a disk made of them."""

    days: float = Field(default=30, ge=0, le=3660, description="Each blob is read again within so long; 0: never.")
    rate_bytes: Bytes = Field(
        default=50 * MIB,
        ge=0,
        le=100 * GIB,
        description="Bytes read in a second, at most, also by `pierhead check --deep`; 0: no limit.",
    )


class StorageSettings(Section):
    """Where the bytes are, and how they go there and come back."""

    url: StorageUrl | None = Field(
        default=None, description="Store that nodes share; without it files in `server.data`."
    )

    shared: bool = Field(
        default=False,
        description="Several nodes serve the files of `storage.url`; their file system must keep locks over nodes.",
    )
    retry_seconds: float = Field(
        default=30,
        ge=0,
        le=600,
        description="A store of objects that fails or asks to wait is tried again for so long; then clients are told.",
    )
    redirect: Literal["off", "on"] = Field(
        default="off", description="on: pulls are sent to the store itself, by an address that is signed for a while."
    )
    redirect_networks: Networks = Field(
        default=(), description="Clients that are sent there, as they can reach the store; empty: all."
    )
    redirect_except_agents: Patterns = Field(
        default=(), description="Clients that are not, as they cannot follow: patterns of their User-Agent."
    )
    redirect_seconds: int = Field(
        default=1200, ge=10, le=7 * 86400, description="A signed address is good for so long."
    )
    batch_bytes: Bytes = Field(
        default=MIB, ge=64 * KIB, le=64 * MIB, description="Bytes hashed and written in one step."
    )
    read_chunk_bytes: Bytes = Field(default=256 * KIB, ge=16 * KIB, le=16 * MIB, description="Bytes read in one step.")
    inline_bytes: Bytes = Field(
        default=16 * KIB,
        ge=0,
        le=32 * KIB,
        description="Blobs up to so long are kept in the database, where a push costs one sync; 0: none.",
    )
    copies: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Copy manifests, small blobs and the history of tags into the store, which then tells by itself "
        "what the registry held; auto: where `storage.url` is set.",
    )
    min_free_bytes: Bytes = Field(
        default=256 * MIB,
        ge=0,
        description="Uploads are refused (507) while the disk has less free than this, in bytes.",
    )
    allow_network_filesystem: bool = Field(
        default=False, description="Serve data from NFS, CIFS and the like: not safe."
    )

    @property
    def wants_copies(self) -> bool:
        return self.copies == "always" or (self.copies == "auto" and self.url is not None)


class DatabaseSettings(Section):
    """Where the rows are."""

    url: DatabaseUrl | None = Field(
        default=None, description="PostgreSQL, for many nodes; without it SQLite in `server.data`."
    )
    pool_size: int = Field(default=8, ge=1, le=1000, description="Connections to PostgreSQL, at most, per worker.")
    wait_max: int = Field(
        default=1000,
        ge=0,
        le=1_000_000,
        description="Requests that may wait for a connection, per worker; more get 503.",
    )
    wait_seconds: float = Field(
        default=5, ge=0.1, le=600, description="A request waits for a connection for so long, then gets 503."
    )
    connect_seconds: float = Field(default=5, ge=0.1, le=600, description="A connection must be open after so long.")
    statement_seconds: float = Field(
        default=10, ge=0.1, le=3600, description="A statement, and its wait for others, may take so long."
    )
    serve_stale: bool = Field(
        default=False,
        description="While the database is away, serve by digest what this worker found lately.",
    )
    stale_seconds: float = Field(
        default=3600, ge=1, le=604_800, description="With serve_stale: what was found counts for so long."
    )


class JobSettings(Section):
    """Background work."""

    enabled: bool = Field(
        default=True, description="Whether `pierhead serve` does it too, in a process of its own beside its workers."
    )
    concurrency: int = Field(default=4, ge=1, le=256, description="Jobs done at once per process.")
    poll_seconds: float = Field(default=1, ge=0.05, le=3600, description="Seconds between two looks for work.")
    lease_seconds: float = Field(
        default=60, ge=1, le=3600, description="A job goes to another process once its own is silent for so long."
    )
    keep_hours: float = Field(default=24, ge=0, le=24 * 365, description="Jobs that were done are listed for so long.")


class ListingSettings(Section):
    """Pages of tags, repositories and referrers."""

    page_size: int = Field(default=1000, ge=1, le=10_000, description="Most entries on a page, and the default.")


class CacheSettings(Section):
    """Memory for what cannot go stale, per worker."""

    content_bytes: Bytes = Field(
        default=64 * MIB,
        ge=0,
        le=64 * GIB,
        description="Manifests and small blobs held in memory, half each, in bytes.",
    )
    rows: int = Field(default=65536, ge=0, le=10_000_000, description="Rows held in memory, validated at each request.")


class LogSettings(Section):
    """What is logged, and how it looks."""

    format: Literal["auto", "console", "json"] = Field(
        default="auto", description="auto: console on a terminal, else json."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe that is written."
    )
    access: Literal["all", "changes", "none"] = Field(
        default="changes", description="Requests that get a line: all, those that change or fail, none."
    )


class CorsSettings(Section):
    """Which pages of other origins may call the API from a browser."""

    allow_origins: Origins = Field(default=(), description="Origins allowed; empty: none.")


class MetricsSettings(Section):
    """Who may read /metrics."""

    enabled: bool = Field(default=True, description="Whether /metrics answers at all.")
    allow: Networks = Field(default=(), description="Peers that may read it, besides those on loopback.")


class Settings(Section):
    server: ServerSettings = ServerSettings()
    access: AccessSettings = AccessSettings()
    htpasswd: HtpasswdSettings = HtpasswdSettings()
    passwords: PasswordSettings = PasswordSettings()
    projects: ProjectSettings = ProjectSettings()
    certificates: CertificateSettings = CertificateSettings()
    limits: LimitSettings = LimitSettings()
    tokens: TokenSettings = TokenSettings()
    audit: AuditSettings = AuditSettings()
    manifests: ManifestSettings = ManifestSettings()
    uploads: UploadSettings = UploadSettings()
    trash: TrashSettings = TrashSettings()
    untagged: UntaggedSettings = UntaggedSettings()
    collection: CollectionSettings = CollectionSettings()
    scrub: ScrubSettings = ScrubSettings()
    database: DatabaseSettings = DatabaseSettings()
    storage: StorageSettings = StorageSettings()
    jobs: JobSettings = JobSettings()
    listing: ListingSettings = ListingSettings()
    cache: CacheSettings = CacheSettings()
    log: LogSettings = LogSettings()
    cors: CorsSettings = CorsSettings()
    pages: PageSettings = PageSettings()
    metrics: MetricsSettings = MetricsSettings()
    outbound: OutboundSettings = OutboundSettings()
    issuers: IssuerSettings = IssuerSettings()
    ldap: tuple[LdapSettings, ...] = ()
    oidc: tuple[OidcSettings, ...] = ()
    keyless: tuple[KeylessSettings, ...] = ()
