"""Granian's worker processes, which speak HTTP/1.1 and HTTP/2 over TLS.

Granian is pinned to one version: what begins with an underscore here is not its public face.
"""

# ruff: noqa: SLF001

from collections.abc import Callable
from socket import socket
from typing import Any

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces, Loops, RuntimeModes, SSLProtocols
from granian.http import HTTP1Settings, HTTP2Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from pierhead.observability import logs
from pierhead.settings import Settings

# Each piece of a body costs a hop between threads, whatever its length, so pieces should be long.
_HTTP1_BUFFER = 1 * 1024 * 1024
# Go's client, and so docker, fills frames up to 512 KiB where the server takes them; the default is 16 KiB.
_HTTP2_FRAME = 1024 * 1024
_HTTP2_STREAM_WINDOW = 8 * 1024 * 1024
_HTTP2_CONNECTION_WINDOW = 16 * 1024 * 1024
_HTTP2_SEND_BUFFER = 2 * 1024 * 1024


class GranianFleet:
    def __init__(self, settings: Settings, sock: socket, workers: int, most: int) -> None:
        self._server: Any = _granian(settings, workers, most)
        self._server._ssp = None
        self._server._shd = _holder(sock, settings.server.backlog)
        self._server._sso = None

    def process(self, slot: int, entry: Callable[[], Any]) -> Any:
        worker = self._server._spawn_worker(slot, MPServer._spawn_asgi_lifespan_worker, entry)
        # Not the worker itself: its `start` adds a thread, and a process with threads cannot fork safely.
        return worker.inner


def _holder(sock: socket, backlog: int) -> Any:
    holder: Any = SocketHolder  # its published signature lacks its arguments
    return holder(sock.fileno(), False, backlog)


def _granian(settings: Settings, workers: int, most: int) -> MPServer:
    server = settings.server
    return MPServer(
        "",
        interface=Interfaces.ASGI,
        workers=workers,
        runtime_mode=RuntimeModes.mt,
        runtime_threads=1,
        # Pinned: `auto` would take rloop wherever that is installed, which breaks database drivers.
        loop=Loops.uvloop,
        http=HTTPModes.auto,
        websockets=False,
        backlog=server.backlog,
        backpressure=most,
        http1_settings=HTTP1Settings(
            max_buffer_size=_HTTP1_BUFFER,
            header_read_timeout=int(server.header_seconds * 1000),
            keep_alive=server.keep_alive,
        ),
        http2_settings=HTTP2Settings(
            initial_connection_window_size=_HTTP2_CONNECTION_WINDOW,
            initial_stream_window_size=_HTTP2_STREAM_WINDOW,
            max_frame_size=_HTTP2_FRAME,
            max_send_buffer_size=_HTTP2_SEND_BUFFER,
            max_headers_size=server.max_header_bytes,
        ),
        log_level=LogLevels.warning,
        # Its lines go where all others go, rather than to handlers of its own.
        log_dictconfig=logs.dictionary(logs.resolve(settings.log.format), settings.log.level),
        ssl_cert=server.tls_certificate,
        ssl_key=server.tls_key,
        ssl_protocol_min=SSLProtocols.tls12,
    )
