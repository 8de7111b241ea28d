"""OpenTelemetry by its standard OTEL_* variables; off unless they ask for it, and then nothing of it is imported."""

import importlib.util
import logging
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pierhead.asgi.types import App
    from pierhead.observability.observability import Observability

logger = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


class Wrap(Protocol):
    """Wraps an application so that each of its requests makes a span."""

    def __call__(self, app: "App") -> "App": ...


def open_tracing(
    environment: Mapping[str, str], observability: "Observability", version: str
) -> AbstractAsyncContextManager[Wrap]:
    """A context whose value wraps an application; where tracing is off it returns the application itself."""
    if not is_asked_for(environment):
        return _off()
    if reason := _obstacle(environment):
        logger.warning("tracing is off: %s", reason)
        return _off()
    return _on(observability, version)


def is_asked_for(environment: Mapping[str, str]) -> bool:
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = _exporter(environment)
    return exporter != "none" and bool(exporter or any(environment.get(name) for name in ENDPOINTS))


def _exporter(environment: Mapping[str, str]) -> str:
    return environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()


def _obstacle(environment: Mapping[str, str]) -> str:
    if (exporter := _exporter(environment)) not in ("", "otlp"):
        return f"OTEL_TRACES_EXPORTER={exporter} is not supported; otlp or none is allowed"
    protocol = next((environment[name] for name in PROTOCOLS if environment.get(name)), "http/protobuf")
    if protocol != "http/protobuf":
        return f"the OTLP protocol {protocol} is not supported; http/protobuf is"
    if not all(map(_is_installed, NEEDED)):
        return "OpenTelemetry is not installed; install pierhead[otel] or unset the OTEL_* variables"
    return ""


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@asynccontextmanager
async def _off() -> "AsyncIterator[Wrap]":
    yield lambda app: app


@asynccontextmanager
async def _on(observability: "Observability", version: str) -> "AsyncIterator[Wrap]":
    # Here and not above: without tracing these modules cost half a second of every worker's start.
    from pierhead.observability import spans  # noqa: PLC0415

    async with spans.exporting(version) as provider:
        observability.traced = True
        tracer = provider.get_tracer("pierhead", version)
        yield lambda app: spans.Traced(app, tracer)
