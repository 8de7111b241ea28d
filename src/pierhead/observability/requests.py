"""What is remembered of one request, and the sums over requests: made to cost next to nothing."""

from bisect import bisect_left
from collections.abc import Callable
from time import perf_counter

from pierhead.asgi.types import Scope
from pierhead.observability.instruments import Row
from pierhead.observability.metrics import REQUEST_SECONDS, Metrics

# What a client sends as a method is anything; a label must not be.
METHODS = frozenset(("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"))

COUNT, RECEIVED, SENT, SECONDS, BUCKETS = range(5)  # places in a row of RequestSums


class RequestRecord:
    """Filled in by who answers the request, then given to `Observability.finished` once."""

    __slots__ = (
        "_new_id", "_request_id", "address", "bytes_in", "bytes_out", "error", "method", "operation", "principal",
        "reference", "repository", "scope", "started", "status",
    )  # fmt: skip

    def __init__(self, scope: Scope, new_id: Callable[[], str]) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.started = perf_counter()
        self.operation = "unknown"
        self.status = 0  # 0 where the client left before an answer
        self.repository = ""
        self.reference = ""  # tag, digest or upload id
        self.bytes_in = 0
        self.bytes_out = 0
        self.principal = ""
        self.address = ""  # where it is not the peer's, as behind a trusted proxy
        self.error = ""  # code of the refusal
        self._request_id = ""
        self._new_id = new_id

    @property
    def request_id(self) -> str:
        """Made when first asked for: most requests never show theirs."""
        if not self._request_id:
            self._request_id = self._new_id()
        return self._request_id


class RequestSums:
    """Sums by operation, method and status, moved into the metrics now and then by `fold`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._rows: dict[tuple[str, str, int], Row] = {}

    def add(self, record: RequestRecord, seconds: float) -> None:
        row = self._rows.get((record.operation, record.method, record.status)) or self._row(record)
        row[COUNT] += 1
        row[RECEIVED] += record.bytes_in
        row[SENT] += record.bytes_out
        row[SECONDS] += seconds
        row[BUCKETS + bisect_left(REQUEST_SECONDS, seconds)] += 1

    def _row(self, record: RequestRecord) -> Row:
        method = record.method if record.method in METHODS else "other"
        return self._rows.setdefault((record.operation, method, record.status), _empty())

    def fold(self) -> None:
        for (operation, method, status), row in self._rows.items():
            if row[COUNT]:
                self._fold(operation, method, str(status), row)
                row[:] = _empty()

    def _fold(self, operation: str, method: str, code: str, row: Row) -> None:
        metrics = self._metrics
        metrics.requests.add(row[COUNT], operation, method, code)
        metrics.received.add(row[RECEIVED], operation)
        metrics.sent.add(row[SENT], operation)
        metrics.request_seconds.merge({(operation, method): row[SECONDS:]})


def _empty() -> Row:
    return [0] * (BUCKETS + len(REQUEST_SECONDS) + 1)
