"""Syslog servers that keep what they got: over UDP, TCP, TLS and a socket of this machine."""

import re
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_FRAME = re.compile(rb"(\d+) ")


class Received:
    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.url = ""
        self.cut_after: int | None = None  # bytes of a connection that are read before it is cut


class _Stream(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        received: Received = self.server.received  # type: ignore[attr-defined]  # see `listening`
        opened: socket.socket = self.request
        whole = b""
        try:
            while piece := opened.recv(4096):
                whole += piece
                if received.cut_after is not None and len(whole) >= received.cut_after:
                    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    opened.close()
                    return
            if isinstance(opened, ssl.SSLSocket):
                opened.unwrap()
        except OSError:
            return
        while frame := _FRAME.match(whole):
            length, start = int(frame[1]), frame.end()
            received.messages.append(whole[start : start + length])
            whole = whole[start + length :]


class _Datagram(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.server.received.messages.append(self.request[0])  # type: ignore[attr-defined]  # see `listening`


class _Tls(socketserver.ThreadingTCPServer):
    def __init__(self, certificate: Path, key: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        super().__init__(("127.0.0.1", 0), _Stream)

    def get_request(self) -> tuple[socket.socket, Any]:
        opened, address = super().get_request()
        return self._context.wrap_socket(opened, server_side=True), address

    def handle_error(self, *_: object) -> None:
        """Whoever does not trust this one leaves."""


class _Local(socketserver.ThreadingUnixDatagramServer):
    pass


@contextmanager
def listening(kind: str, folder: Path, tls: tuple[Path, Path] | None = None) -> Iterator[Received]:
    received = Received()
    server: socketserver.BaseServer
    if kind == "unix":
        server = _Local(str(folder / "log"), _Datagram)
        received.url = f"unix://{folder / 'log'}"
    else:
        if kind == "udp":
            udp = socketserver.ThreadingUDPServer(("127.0.0.1", 0), _Datagram)
            server, port = udp, udp.server_address[1]
        else:
            tcp = _Tls(*tls) if tls else socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Stream)
            server, port = tcp, tcp.server_address[1]
        received.url = f"{kind}://{'localhost' if tls else '127.0.0.1'}:{port}"
    setattr(server, "received", received)  # noqa: B010  its handlers find it there
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
