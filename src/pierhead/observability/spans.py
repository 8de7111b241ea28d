"""A span per request, with the attributes of OpenTelemetry's semantic conventions for HTTP servers.

Imported only while tracing is on.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from opentelemetry import propagate
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagators.textmap import Getter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer

from pierhead.asgi.types import App, Receive, Scope, Send
from pierhead.observability.logs import safe_query
from pierhead.observability.requests import METHODS, RequestRecord

SERVER_ERROR = 500
TEXT_MAX = 512  # characters of a value that a client chose

Attributes = dict[str, str | int]


@asynccontextmanager
async def exporting(version: str) -> AsyncIterator[TracerProvider]:
    """Sends spans where OTEL_EXPORTER_OTLP_* say; what waits is sent before the end."""
    defaults = Resource({"service.name": "pierhead", "service.version": version})
    # Resource.create reads OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES; an unset name reads unknown_service.
    found = Resource.create()
    named = not str(found.attributes.get("service.name", "")).startswith("unknown_service")
    provider = TracerProvider(resource=defaults.merge(found) if named else found.merge(defaults))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield provider
    finally:
        await asyncio.to_thread(provider.shutdown)


class Traced:
    """The application it wraps, each request in a span that continues the caller's `traceparent`."""

    def __init__(self, app: App, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        caller = propagate.extract(scope, getter=_Headers())
        attributes = request_attributes(scope)
        method = attributes["http.request.method"]
        name = "HTTP" if method == "_OTHER" else str(method)
        with self._tracer.start_as_current_span(name, caller, SpanKind.SERVER, attributes) as span:
            try:
                await self._app(scope, receive, send)
            finally:
                _complete(span, name, scope.get("pierhead.record"))


def _complete(span: Span, method: str, record: RequestRecord | None) -> None:
    if record is None or not span.is_recording():
        return
    span.update_name(f"{method} {record.operation}")
    span.set_attributes(answer_attributes(record))
    if record.status >= SERVER_ERROR:
        span.set_status(StatusCode.ERROR)


def request_attributes(scope: Scope) -> Attributes:
    method = scope["method"]
    attributes: Attributes = {
        "http.request.method": method if method in METHODS else "_OTHER",
        "url.scheme": scope["scheme"],
        "url.path": scope.get("raw_path", b"")[:TEXT_MAX].decode("latin-1"),
        "network.protocol.version": scope["http_version"],
    }
    if method not in METHODS:
        attributes["http.request.method_original"] = method[:32]
    if scope["query_string"]:
        attributes["url.query"] = safe_query(scope["query_string"])
    if agent := _Headers().get(scope, "user-agent"):
        attributes["user_agent.original"] = agent[0][:TEXT_MAX]
    return attributes | _ends(scope)


def _ends(scope: Scope) -> Attributes:
    ends: Attributes = {}
    if server := scope.get("server"):
        ends["server.address"], ends["server.port"] = server[0], int(server[1] or 0)
    if client := scope.get("client"):
        ends["client.address"] = ends["network.peer.address"] = client[0]
        ends["network.peer.port"] = int(client[1] or 0)
    return ends


def answer_attributes(record: RequestRecord) -> Attributes:
    attributes: Attributes = {
        "http.response.status_code": record.status,
        "http.request.body.size": record.bytes_in,
        "http.response.body.size": record.bytes_out,
        "pierhead.operation": record.operation,
        "pierhead.repository": record.repository,
        "pierhead.reference": record.reference,
        "pierhead.request_id": record.request_id,
    }
    if record.address:
        attributes["client.address"] = record.address
    if record.status >= SERVER_ERROR:
        attributes["error.type"] = record.error or str(record.status)
    return attributes


class _Headers(Getter[Scope]):
    def get(self, carrier: Scope, key: str) -> list[str] | None:
        wanted = key.lower().encode("latin-1")
        return [value.decode("latin-1") for name, value in carrier["headers"] if name == wanted] or None

    def keys(self, carrier: Scope) -> list[str]:
        names: Iterable[bytes] = (name for name, _ in carrier["headers"])
        return [name.decode("latin-1") for name in names]
