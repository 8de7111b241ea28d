"""The listening socket: one, bound by the supervisor and shared by its workers.

A connection waits in it while workers are replaced, and a second server gets no port by mistake,
neither of which holds for one socket per worker (SO_REUSEPORT).
"""

import socket

from pierhead.errors import ConfigurationError
from pierhead.settings import ServerSettings


def bound(server: ServerSettings) -> socket.socket:
    """Raises ConfigurationError."""
    shown = f"server.host = {server.host!r}, server.port = {server.port}"
    try:
        family, kind, protocol, _, address = _resolved(server)
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigurationError([f"{shown}: {error.strerror}"]) from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(server.backlog)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise ConfigurationError([f"{shown}: cannot be bound: {error.strerror}"]) from error
    return sock


def url(server: ServerSettings, sock: socket.socket) -> str:
    """Where the server is reached, with the port that it got."""
    scheme = "https" if server.tls_certificate else "http"
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"{scheme}://{host}:{sock.getsockname()[1]}"


def _resolved(server: ServerSettings) -> tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[object, ...]]:
    found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # Clients try `localhost` as ::1 and as 127.0.0.1, scripts often the latter alone.
    return min(found, key=lambda entry: entry[0] != socket.AF_INET)
