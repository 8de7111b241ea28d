import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pierhead.asgi.types import App, Receive, Scope, Send
from pierhead.observability.observability import Observability
from pierhead.observability.tracing import is_asked_for, open_tracing
from tests.observability.scopes import ask, http_scope

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@asynccontextmanager
async def traced(environment: dict[str, str], status: int = 200) -> AsyncIterator[tuple[App, App]]:
    """An application, and the same as tracing wraps it."""
    async with Observability(access="none", format="json", shared=None) as observability:

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            record = observability.started(scope)
            record.operation, record.repository, record.status = "get_manifest", "team/app", status
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            observability.finished(record)

        async with open_tracing(environment, observability, "1.2.3") as wrap:
            yield app, wrap(app)


@pytest.mark.parametrize(
    ("environment", "asked"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
    ],
)
def test_only_the_standard_variables_ask_for_tracing(environment: dict[str, str], asked: bool) -> None:
    assert is_asked_for(environment) is asked


def test_without_tracing_the_application_is_left_as_it_is() -> None:
    async def untraced() -> None:
        async with traced({}) as (app, wrapped):
            assert wrapped is app

    asyncio.run(untraced())


def test_without_tracing_nothing_of_it_is_imported() -> None:
    code = (
        "import sys, pierhead.observability.observability, pierhead.observability.tracing as tracing; "
        "tracing.open_tracing({}, None, ''); sys.exit('opentelemetry' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER=zipkin is not supported"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "the OTLP protocol grpc"),
    ],
)
def test_what_is_not_supported_is_said_and_the_server_goes_on(
    environment: dict[str, str], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def unsupported() -> None:
        async with traced(environment) as (app, wrapped):
            assert wrapped is app

    asyncio.run(unsupported())
    assert said in caplog.text


def test_a_missing_extra_is_said_by_its_name(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("pierhead.observability.tracing.NEEDED", ("pierhead_has_no_such_module.at_all",))

    async def not_installed() -> None:
        async with traced({"OTEL_TRACES_EXPORTER": "otlp"}) as (app, wrapped):
            assert wrapped is app

    asyncio.run(not_installed())
    assert "install pierhead[otel]" in caplog.text


class Collector(HTTPServer):
    """Takes OTLP over HTTP as a real collector does, and keeps what came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.received: list[tuple[str, bytes]] = []


class _Take(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.received.append((self.path, body))
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    with Collector() as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def spans_of(collector: Collector, *scopes: Scope, status: int = 200) -> tuple[list[dict[str, object]], dict[str, str]]:
    """The spans that reached the collector, as plain values, and the attributes of their resource."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415 -- only with the extra
        ExportTraceServiceRequest,
    )

    async def served() -> None:
        async with traced(dict(os.environ), status) as (_, wrapped):
            for scope in scopes:
                await ask(wrapped, scope)

    asyncio.run(served())
    assert {path for path, _ in collector.received} == {"/v1/traces"}
    exported = [
        part for _, body in collector.received for part in ExportTraceServiceRequest.FromString(body).resource_spans
    ]
    spans = [
        {
            "name": span.name,
            "trace": span.trace_id.hex(),
            "parent": span.parent_span_id.hex(),
            "failed": span.status.code == span.status.STATUS_CODE_ERROR,
            **{pair.key: pair.value.string_value or pair.value.int_value for pair in span.attributes},
        }
        for part in exported
        for scope_spans in part.scope_spans
        for span in scope_spans.spans
    ]
    return spans, {pair.key: pair.value.string_value for pair in exported[0].resource.attributes}


def test_a_request_becomes_a_span_with_the_conventional_attributes(collector: Collector) -> None:
    scope = http_scope(path="/v2/team/app/manifests/1", query_string=b"ns=docker.io&key=hunter2")

    (span,), resource = spans_of(collector, scope)

    expected = {
        "name": "GET get_manifest",
        "http.request.method": "GET",
        "url.path": "/v2/team/app/manifests/1",
        "url.query": "ns=docker.io&key=***",
        "url.scheme": "http",
        "http.response.status_code": 200,
        "client.address": "127.0.0.1",
        "network.peer.port": 40000,
        "server.port": 5000,
        "user_agent.original": "docker/27.1",
        "pierhead.repository": "team/app",
        "failed": False,
    }
    assert expected.items() <= span.items()
    assert resource["service.name"] == "pierhead"
    assert resource["service.version"] == "1.2.3"


def test_a_span_continues_the_trace_of_its_caller(collector: Collector) -> None:
    scope = http_scope(headers=[(b"traceparent", CALLER.encode())])

    (span,), _ = spans_of(collector, scope)

    assert (span["trace"], span["parent"]) == (CALLER.split("-")[1], CALLER.split("-")[2])


def test_a_malformed_traceparent_begins_a_new_trace(collector: Collector) -> None:
    (span,), _ = spans_of(collector, http_scope(headers=[(b"traceparent", b"00-\xff-nonsense")]))

    assert span["parent"] == ""


def test_requests_side_by_side_have_traces_of_their_own(collector: Collector) -> None:
    spans, _ = spans_of(collector, *[http_scope() for _ in range(10)])

    assert len({span["trace"] for span in spans}) == 10


def test_a_server_error_marks_its_span_as_failed(collector: Collector) -> None:
    (span,), _ = spans_of(collector, http_scope(), status=503)

    assert span["failed"]
    assert span["error.type"] == "503"


def test_an_invented_method_does_not_name_a_span(collector: Collector) -> None:
    (span,), _ = spans_of(collector, http_scope("EVIL"))

    assert (span["name"], span["http.request.method"]) == ("HTTP get_manifest", "_OTHER")


def test_the_service_name_of_the_environment_wins(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "registry-eu")

    _, resource = spans_of(collector, http_scope())

    assert resource["service.name"] == "registry-eu"
