"""A wire that breaks: a TCP proxy that, after so many bytes from clients, does something and drops a connection."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

PIECE = 1 << 16
MENDING_SECONDS = 30
# Linger for no time: closing sends a reset, as a crash or a cut cable ends a connection.
RESET = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Wire:
    """Passes bytes to `upstream`; the connection that brings the byte `breaks_after` is reset, once."""

    upstream: int
    breaks_after: int
    then: Callable[[], object]
    listener: socket.socket
    broken: threading.Event = field(default_factory=threading.Event)
    mended: threading.Event = field(default_factory=threading.Event)  # `then` is done
    broken_at: float = 0.0  # seconds since the epoch
    sent: int = 0  # by clients, over all connections
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _open: set[socket.socket] = field(default_factory=set)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    def accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            # Who calls again meanwhile waits at the door: how long clients keep trying is not the question.
            if self.broken.is_set():
                self.mended.wait(MENDING_SECONDS)
            try:
                server = socket.create_connection(("127.0.0.1", self.upstream))
            except OSError:
                _reset(client)
                continue
            self._open |= {client, server}
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, sink, source is client), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, upward: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(PIECE):
                sink.sendall(piece)
                if upward and self._breaks(len(piece)):
                    self._break(source, sink)
                    return
            sink.shutdown(socket.SHUT_WR)
            return
        _reset(source)
        _reset(sink)

    def _break(self, source: socket.socket, sink: socket.socket) -> None:
        self.broken_at = time.time()
        try:
            self.then()
            _reset(source)
            _reset(sink)
        finally:
            self.mended.set()

    def _breaks(self, count: int) -> bool:
        with self._lock:
            self.sent += count
            if self.sent < self.breaks_after or self.broken.is_set():
                return False
            self.broken.set()
            return True

    def close(self) -> None:
        if self.broken.is_set():
            self.mended.wait(MENDING_SECONDS)
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for end in self._open:
            end.close()


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        # Wakes the thread that waits in recv, which holds the connection open beyond close().
        end.shutdown(socket.SHUT_RD)
    end.close()


@contextlib.contextmanager
def breaking(upstream: int, *, after: int, then: Callable[[], object]) -> Iterator[Wire]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    wire = Wire(upstream, after, then, listener)
    thread = threading.Thread(target=wire.accept, daemon=True)
    thread.start()
    try:
        yield wire
    finally:
        wire.close()
        thread.join(5)
