"""Servers that are no directories, and how they treat who asks them."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Behaviour = Callable[[socket.socket], None]


class Listener:
    """A server that takes connections and does with each what it was told to, until it is closed."""

    def __init__(self, behave: Behaviour) -> None:
        self._behave = behave
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.accepted = 0
        self.url = f"ldap://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        for one in (self._listening, *self._open):
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.accepted += 1
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            self._behave(connection)


@contextmanager
def listening(behave: Behaviour) -> Iterator[Listener]:
    listener = Listener(behave)
    try:
        yield listener
    finally:
        listener.close()


def say_nothing(_: socket.socket) -> None:
    pass


def drip(connection: socket.socket) -> None:
    """An answer of 2 KiB, a byte at a time: no read ever waits for long."""
    connection.recv(1024)
    for byte in b"\x30\x82\x08\x00" + bytes(2048):
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def pour(connection: socket.socket) -> None:
    """An answer of 2 GiB, as fast as it is taken."""
    connection.recv(1024)
    connection.sendall(b"\x30\x84\x7f\xff\xff\xff")
    while True:
        connection.sendall(bytes(65536))


def speak_http(connection: socket.socket) -> None:
    connection.recv(1024)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    connection.close()
