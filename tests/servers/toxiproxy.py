"""Toxiproxy: links that are slow, narrow, silent or cut, put between a node and what it talks to."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx

from tests import components
from tests.running import free_port
from tests.servers import process

# Toward the client, or from it.
Stream = Literal["downstream", "upstream"]
# Seconds that the proxy may take for a change: it waits for connections whose other end does not read.
PATIENCE = 60


@dataclass(frozen=True, slots=True)
class Link:
    """One listening address and what stands behind it. Each trouble lasts until `heal`."""

    api: str  # of this very proxy
    host: str  # with its port

    @property
    def port(self) -> int:
        return int(self.host.rpartition(":")[2])

    def latency(self, milliseconds: int, jitter: int = 0, stream: Stream = "downstream") -> None:
        self._toxic("latency", stream, latency=milliseconds, jitter=jitter)

    def bandwidth(self, kilobytes_per_second: int, stream: Stream = "downstream") -> None:
        self._toxic("bandwidth", stream, rate=kilobytes_per_second)

    def timeout(self, milliseconds: int = 0, stream: Stream = "downstream") -> None:
        """Nothing arrives any more, and the connection is closed after that time; with 0, not before it is healed."""
        self._toxic("timeout", stream, timeout=milliseconds)

    def reset(self, milliseconds: int = 0, stream: Stream = "downstream") -> None:
        """RST, after that time, to connections that are open and to those that come."""
        self._toxic("reset_peer", stream, timeout=milliseconds)

    def limit(self, size: int, stream: Stream = "downstream") -> None:
        """Each connection is closed after so many bytes."""
        self._toxic("limit_data", stream, bytes=size)

    def cut(self) -> None:
        """Open connections are closed and new ones refused."""
        httpx.post(self.api, json={"enabled": False}, timeout=PATIENCE).raise_for_status()

    def heal(self) -> None:
        for toxic in httpx.get(f"{self.api}/toxics", timeout=PATIENCE).raise_for_status().json():
            self._remove(toxic["name"])
        httpx.post(self.api, json={"enabled": True}, timeout=PATIENCE).raise_for_status()

    def _remove(self, toxic: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = httpx.delete(f"{self.api}/toxics/{toxic}", timeout=PATIENCE)
            if answer.status_code == httpx.codes.NOT_FOUND:
                return  # an earlier request for it has been done meanwhile
            # After 25 s the proxy says 503 and goes on: it waits for a connection whose other end does not read.
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                answer.raise_for_status()
                return
            time.sleep(0.2)

    def _toxic(self, kind: str, stream: Stream, **attributes: int) -> None:
        toxic = {"type": kind, "stream": stream, "attributes": attributes}
        httpx.post(f"{self.api}/toxics", json=toxic, timeout=PATIENCE).raise_for_status()


@dataclass(frozen=True, slots=True)
class Server:
    api: str

    @contextmanager
    def link(self, upstream: str) -> Iterator[Link]:
        """A way to `upstream` (host:port), gone after the block."""
        name = f"link-{free_port()}"
        asked = {"name": name, "listen": "127.0.0.1:0", "upstream": upstream, "enabled": True}
        made = httpx.post(f"{self.api}/proxies", json=asked, timeout=PATIENCE).raise_for_status().json()
        try:
            yield Link(f"{self.api}/proxies/{name}", made["listen"])
        finally:
            with suppress(httpx.ReadTimeout):  # stuck: it goes with its server
                httpx.delete(f"{self.api}/proxies/{name}").raise_for_status()


@contextmanager
def toxiproxy() -> Iterator[Server]:
    program = components.require("toxiproxy-server")
    with process.scratch("toxiproxy") as folder:
        port = free_port()
        command: list[str | Path] = [program, "-host", "127.0.0.1", "-port", str(port)]
        with process.running(command, folder, lambda: process.accepts(port)):
            yield Server(f"http://127.0.0.1:{port}")
