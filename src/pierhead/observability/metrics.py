"""All metrics of Pierhead, declared in this one place: name, description, labels, buckets.

Labels hold only words of our own (operations, codes), never names that a client chose.
"""

from typing import Protocol

from pierhead.observability.instruments import Counter, Gauge, Histogram, Instrument, Reading

REQUEST_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
STORAGE_SECONDS = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
COMMIT_SECONDS = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Pool(Protocol):
    """Connections to a database."""

    @property
    def open(self) -> int: ...

    @property
    def used(self) -> int: ...

    @property
    def waiting(self) -> int: ...


class Metrics:
    def __init__(self) -> None:
        labels = ("operation", "method", "code")
        self.requests = Counter("pierhead_requests", "Requests answered; code 0: the client left before", labels)
        self.request_seconds = Histogram(
            "pierhead_request_seconds",
            "Seconds from a request's first header to the last byte of its answer",
            ("operation", "method"),
            buckets=REQUEST_SECONDS,
        )
        self.received = Counter("pierhead_received_bytes", "Bytes of request bodies", ("operation",))
        self.sent = Counter("pierhead_sent_bytes", "Bytes of answers' bodies", ("operation",))
        self.refusals = Counter("pierhead_refusals", "Requests refused, by error code", ("code",))
        self.authentications = Counter("pierhead_authentications", "Proofs of identity checked", ("method", "result"))
        self.uploads = Gauge("pierhead_uploads_in_progress", "Requests whose body is being received into an upload")
        self.storage_seconds = Histogram(
            "pierhead_storage_seconds", "Seconds of storage operations", ("operation",), buckets=STORAGE_SECONDS
        )
        self.storage_bytes = Counter("pierhead_storage_bytes", "Bytes moved by storage operations", ("operation",))
        self.storage_errors = Counter("pierhead_storage_errors", "Storage operations that failed", ("operation",))
        self.commits = Counter("pierhead_database_commits", "Commits, by durability", ("durability",))
        self.commit_seconds = Histogram(
            "pierhead_database_commit_seconds", "Seconds of commits", ("durability",), buckets=COMMIT_SECONDS
        )
        self.batch_sizes = Histogram(
            "pierhead_database_batch_size", "Transactions grouped in a commit", ("durability",), buckets=BATCH_SIZES
        )
        self.cache_lookups = Counter("pierhead_cache_lookups", "Look-ups in caches", ("cache", "result"))
        self.log_dropped = Counter("pierhead_access_log_dropped", "Access log lines dropped, because no one read them")
        self.connections = Reading(
            "pierhead_database_connections", "Connections of one worker to PostgreSQL; waiting: requests", ("state",)
        )
        self.wal_bytes = Reading("pierhead_database_wal_bytes", "Length of SQLite's write-ahead log")
        self.workers = Reading("pierhead_workers", "Worker processes alive")
        self.build = Reading("pierhead_build_info", "Always 1; what is running", ("version", "sqlite"))

    def instruments(self) -> list[Instrument]:
        return list(vars(self).values())

    def committed(self, durability: str, *, transactions: int, seconds: float) -> None:
        self.commits.add(1, durability)
        self.commit_seconds.observe(seconds, durability)
        self.batch_sizes.observe(transactions, durability)

    def watch_pool(self, pool: Pool) -> None:
        self.connections.watch(lambda: pool.open, "open")
        self.connections.watch(lambda: pool.used, "used")
        self.connections.watch(lambda: pool.waiting, "waiting")

    def looked_up(self, cache: str, hits: int, misses: int) -> None:
        self.cache_lookups.add(hits, cache, "hit")
        self.cache_lookups.add(misses, cache, "miss")

    def stored(self, operation: str, seconds: float, size: int, well: bool) -> None:  # noqa: FBT001  one call, one shape
        """What the blob store tells of each of its operations, from any thread."""
        self.storage_seconds.observe(seconds, operation)
        if not well:
            self.storage_errors.add(1, operation)
        elif size:
            self.storage_bytes.add(size, operation)

    def authenticated(self, well: bool) -> None:  # noqa: FBT001  see `stored`
        """A password was checked, not merely remembered."""
        self.authentications.add(1, "basic", "accepted" if well else "refused")
