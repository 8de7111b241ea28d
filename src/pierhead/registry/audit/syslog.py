"""Sending to a syslog server, over UDP (RFC 5426), TCP (RFC 6587), TLS (RFC 5425) or a socket of this machine.

Syslog answers nothing. Over TCP and TLS each batch has a connection of its own, which is closed from here and then by
the server: rsyslog and syslog-ng do so once they have read all of it. Where they do not, the batch is sent again.
"""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

_SECONDS = 10.0
_PORTS = {"udp": 514, "tcp": 601, "tls": 6514}


class Syslog:
    """Raises OSError where what was sent did not arrive, as far as one can tell."""

    def __init__(self, url: str, authorities: Path | None) -> None:
        parts = urlsplit(url)
        self._scheme = parts.scheme
        self._host = parts.hostname or ""
        self._port = parts.port or _PORTS.get(parts.scheme, 0)
        self._path = parts.path
        self._authorities = authorities

    async def send(self, messages: Sequence[bytes]) -> None:
        async with asyncio.timeout(_SECONDS):
            match self._scheme:
                case "udp":
                    await self._datagrams(messages)
                case "unix":
                    await self._local(messages)
                case _:
                    await self._stream(messages)

    async def _datagrams(self, messages: Sequence[bytes]) -> None:
        loop = asyncio.get_running_loop()
        [(family, kind, protocol, _, address), *_] = await loop.getaddrinfo(
            self._host, self._port, type=socket.SOCK_DGRAM
        )
        await _send_each(socket.socket(family, kind, protocol), address, messages)

    async def _local(self, messages: Sequence[bytes]) -> None:
        await _send_each(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), self._path, messages)

    async def _stream(self, messages: Sequence[bytes]) -> None:
        trusted = self._trusted() if self._scheme == "tls" else None
        reader, writer = await asyncio.open_connection(self._host, self._port, ssl=trusted)
        try:
            for message in messages:
                writer.write(b"%d %b" % (len(message), message))
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
                while await reader.read(4096):
                    pass  # until the server has read all of it, and closes too
        finally:
            writer.close()
        # Over TLS this says that there is no more, and waits for the server to say the same.
        await writer.wait_closed()

    def _trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self._authorities) if self._authorities else None)


async def _send_each(opened: socket.socket, address: object, messages: Sequence[bytes]) -> None:
    loop = asyncio.get_running_loop()
    with opened:
        opened.setblocking(False)
        await loop.sock_connect(opened, address)  # type: ignore[arg-type]  # a pair, or the path of a socket
        for message in messages:
            await loop.sock_sendall(opened, message)
