"""All metrics of Pierhead, declared in this one place: name, description, labels, buckets.

Labels hold only words of our own (operations, codes), never names that a client chose.
"""

from collections.abc import Mapping, Sized
from typing import Protocol

from pierhead.observability.instruments import Counter, Gauge, Histogram, Instrument, Reading

REQUEST_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
STORAGE_SECONDS = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
JOB_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600)
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


class Collected(Protocol):
    """What a step of the collection did."""

    @property
    def examined(self) -> int: ...

    @property
    def freed(self) -> Sized: ...

    @property
    def bytes(self) -> int: ...

    @property
    def removed(self) -> int: ...


class ToCollect(Protocol):
    """What waits for the collection."""

    @property
    def doomed(self) -> int: ...

    @property
    def oldest(self) -> int | None: ...


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
        self.jobs_ended = Counter("pierhead_jobs", "Attempts at jobs that ended", ("kind", "outcome"))
        self.job_seconds = Histogram(
            "pierhead_job_seconds", "Seconds of attempts at jobs", ("kind",), buckets=JOB_SECONDS
        )
        self.jobs_unfinished = Gauge("pierhead_jobs_unfinished", "Jobs that are not done", ("kind", "state"))
        self.damage = Counter("pierhead_damage_found", "Damaged content found: by whom, and what", ("by", "what"))
        self.damaged_now = Gauge("pierhead_damaged_blobs", "Blobs that are damaged now, until they are pushed again")
        self.scrubbed_blobs = Counter("pierhead_scrub_blobs", "Blobs that were read again")
        self.scrubbed_bytes = Counter("pierhead_scrub_bytes", "Bytes of blobs that were read again")
        self.scrub_coverage = Gauge(
            "pierhead_scrub_coverage", "Share of the blobs that were read again in this cycle, from 0 to 1"
        )
        self.scrub_whole = Gauge(
            "pierhead_scrub_whole_timestamp_seconds", "When the last whole cycle ended; 0: none has yet"
        )
        self.collection_examined = Counter(
            "pierhead_collection_examined", "Rows that the collection of blobs looked at"
        )
        self.collection_blobs = Counter("pierhead_collection_blobs", "Blobs that nobody needed and whose rows went")
        self.collection_bytes = Counter("pierhead_collection_bytes", "Bytes of these blobs")
        self.collection_removed = Counter("pierhead_collection_removed", "Keys whose bytes were removed")
        self.collection_doomed = Gauge(
            "pierhead_collection_doomed", "Keys whose bytes are still to be removed; at most 100,000 are counted"
        )
        self.collection_oldest = Gauge(
            "pierhead_collection_oldest_seconds",
            "How long the oldest unneeded blob has been waiting, its grace included",
        )
        self.log_dropped = Counter("pierhead_access_log_dropped", "Access log lines dropped, because no one read them")
        self.audit_dropped_events = Counter(
            "pierhead_audit_dropped", "Pulls, sign-ins and refusals that were not written to the audit trail"
        )
        self.audit_unsealed = Gauge("pierhead_audit_unsealed", "Events not sealed yet; at most 100,000 are counted")
        self.audit_behind = Gauge("pierhead_audit_behind", "Events that a place does not have yet", ("place",))
        self.connections = Reading(
            "pierhead_database_connections", "Connections of one worker to PostgreSQL; waiting: requests", ("state",)
        )
        self.wal_bytes = Reading("pierhead_database_wal_bytes", "Length of SQLite's write-ahead log")
        self.workers = Gauge("pierhead_workers", "Worker processes alive that answer requests")
        self.build = Reading("pierhead_build_info", "Always 1; what is running", ("version", "sqlite"))

    def instruments(self) -> list[Instrument]:
        return list(vars(self).values())

    def committed(self, durability: str, *, transactions: int, seconds: float) -> None:
        self.commits.add(1, durability)
        self.commit_seconds.observe(seconds, durability)
        self.batch_sizes.observe(transactions, durability)

    def job_ended(self, kind: str, outcome: str, seconds: float) -> None:
        self.jobs_ended.add(1, kind, outcome)
        self.job_seconds.observe(seconds, kind)

    def jobs_counted(self, counts: Mapping[tuple[str, str], int]) -> None:
        """How many jobs of a kind are in a state, now."""
        for labels in {*self.jobs_unfinished.rows, *counts}:
            kind, state = labels
            self.jobs_unfinished.set(counts.get((kind, state), 0), kind, state)

    def damaged(self, by: str, what: str) -> None:
        """Somebody found that a blob or a manifest is not what it was."""
        self.damage.add(1, by, what)

    def scrubbed(self, blobs: int, size: int) -> None:
        self.scrubbed_blobs.add(blobs)
        self.scrubbed_bytes.add(size)

    def scrub_stands(self, coverage: float, damaged: int, whole_at: int | None) -> None:
        """How far the scrub is; `whole_at` in microseconds since 1970."""
        self.scrub_coverage.set(coverage)
        self.damaged_now.set(damaged)
        self.scrub_whole.set((whole_at or 0) / 1_000_000)

    def collected(self, step: Collected) -> None:
        self.collection_examined.add(step.examined)
        self.collection_blobs.add(len(step.freed))
        self.collection_bytes.add(step.bytes)
        self.collection_removed.add(step.removed)

    def to_collect(self, backlog: ToCollect) -> None:
        """What waits now."""
        self.collection_doomed.set(backlog.doomed)
        self.collection_oldest.set((backlog.oldest or 0) / 1_000_000)

    def audit_dropped(self, events: int) -> None:
        self.audit_dropped_events.add(events)

    def audit_stands(self, unsealed: int, behind: Mapping[str, int]) -> None:
        self.audit_unsealed.set(unsealed)
        for place, events in behind.items():
            self.audit_behind.set(events, place)

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
