"""What operators and their machines ask: /healthz, /readyz and /metrics.

Details and numbers are for loopback and the networks of `metrics.allow`. A request that came through a
proxy speaks for someone unknown, whatever its peer.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from time import monotonic
from typing import Any

import orjson

from pierhead.asgi.types import Receive, Scope, Send
from pierhead.observability.observability import Observability

logger = logging.getLogger(__name__)

PATHS = frozenset(("/healthz", "/readyz", "/metrics"))
PING_TIMEOUT = 2.0  # seconds
FRESH = 0.5  # seconds for which an answer of the pings serves all who ask

JSON = "application/json"
PROXY_HEADERS = frozenset((b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto",
                           b"x-real-ip"))  # fmt: skip

Network = IPv4Network | IPv6Network
Ping = Callable[[], Awaitable[Mapping[str, str]]]
Answer = tuple[int, str, bytes]  # status, content type, body


class Operations:
    """`pings` are the parts that must work for this server to be ready; each returns details of its part."""

    def __init__(
        self,
        observability: Observability,
        pings: Mapping[str, Ping],
        allow: Iterable[Network] = (),
        *,
        metrics: bool = True,
    ) -> None:
        self._observability = observability
        self._readiness = Readiness(pings)
        self._allow = tuple(allow)
        self._enabled = metrics
        self._answers: dict[str, Callable[[Scope], Awaitable[Answer]]] = {
            "/healthz": self._health,
            "/readyz": self._ready,
            "/metrics": self._metrics,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 -- ASGI's signature
        record = self._observability.started(scope)
        record.operation = scope["path"].strip("/") if scope["path"] in PATHS else "unknown"
        try:
            record.status, kind, body = await self._answer(scope)
            await _send(send, scope["method"], (record.status, kind, body))
            record.bytes_out = len(body) if scope["method"] == "GET" else 0
        finally:
            self._observability.finished(record)

    async def _answer(self, scope: Scope) -> Answer:
        answer = self._answers.get(scope["path"])
        if answer is None:
            return _json(404, {"error": "there is nothing at this path"})
        if scope["method"] not in ("GET", "HEAD"):
            return _json(405, {"error": "only GET and HEAD are supported here"})
        return await answer(scope)

    async def _health(self, scope: Scope) -> Answer:  # noqa: ARG002 -- one signature for all answers
        return _json(200, {"status": "ok"})

    async def _ready(self, scope: Scope) -> Answer:
        parts = await self._readiness.parts()
        ready = all(part["status"] == "ok" for part in parts.values())
        summary: dict[str, Any] = {"status": "ok" if ready else "failed"}
        if is_trusted(scope, self._allow):
            summary["parts"] = parts
        return _json(200 if ready else 503, summary)

    async def _metrics(self, scope: Scope) -> Answer:
        if not self._enabled:
            return _json(404, {"error": "the setting metrics.enabled is false"})
        if not is_trusted(scope, self._allow):
            return _json(403, {"error": "metrics are for loopback and the networks of the setting metrics.allow"})
        accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
        body, kind = await self._observability.page(accept.decode("latin-1"))
        return 200, kind, body


class Readiness:
    """Runs all pings at once; who asks meanwhile or just after gets the same answer."""

    def __init__(self, pings: Mapping[str, Ping]) -> None:
        self._pings = pings
        self._lock = asyncio.Lock()
        self._asked_at = float("-inf")
        self._parts: dict[str, dict[str, str]] = {}

    async def parts(self) -> dict[str, dict[str, str]]:
        async with self._lock:
            if monotonic() - self._asked_at > FRESH:
                results = await asyncio.gather(*(_pinged(name, ping) for name, ping in self._pings.items()))
                self._parts = dict(zip(self._pings, results, strict=True))
                self._asked_at = monotonic()
            return self._parts


async def _pinged(name: str, ping: Ping) -> dict[str, str]:
    try:
        async with asyncio.timeout(PING_TIMEOUT):
            return {**await ping(), "status": "ok"}
    except TimeoutError:
        reason = f"no answer within {PING_TIMEOUT:g} s"
    except Exception as error:  # noqa: BLE001 -- whatever a ping raises means that its part is not ready
        reason = f"{type(error).__name__}: {str(error) or error.__doc__}"
    logger.warning("not ready: %s", name, extra={"part": name, "reason": reason})
    return {"status": "failed", "reason": reason}


def is_trusted(scope: Scope, allow: Iterable[Network]) -> bool:
    """Whether the request comes, by no proxy, from loopback or a network of `allow`."""
    client = scope.get("client")
    if not client or any(name in PROXY_HEADERS for name, _ in scope["headers"]):
        return False
    try:
        address = ip_address(client[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    return address.is_loopback or any(address in network for network in allow)


def _json(status: int, content: dict[str, Any]) -> Answer:
    return status, JSON, orjson.dumps(content) + b"\n"


async def _send(send: Send, method: str, answer: Answer) -> None:
    status, kind, body = answer
    headers = [
        (b"content-type", kind.encode("latin-1")),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if status == 405:  # noqa: PLR2004 -- RFC 9110, 15.5.6: an Allow field is owed
        headers.append((b"allow", b"GET, HEAD"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})
