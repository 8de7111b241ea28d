"""fake-gcs-server, as Google Cloud Storage with its JSON API. It asks nobody who they are.

It lacks the XML API's multipart uploads, holds each upload in memory until that is done, and
ends a resumable upload when asked how far it is.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests import components
from tests.running import free_port
from tests.servers import process


@dataclass(frozen=True, slots=True)
class Bucket:
    endpoint: str
    name: str

    @property
    def objects(self) -> str:
        return f"{self.endpoint}/storage/v1/b/{self.name}/o"

    @property
    def uploads(self) -> str:
        return f"{self.endpoint}/upload/storage/v1/b/{self.name}/o"


@dataclass(frozen=True, slots=True)
class Server:
    endpoint: str

    def bucket(self) -> Bucket:
        name = f"pierhead-{secrets.token_hex(8)}"
        made = httpx.post(f"{self.endpoint}/storage/v1/b", params={"project": "pierhead"}, json={"name": name})
        made.raise_for_status()
        return Bucket(self.endpoint, name)


@contextmanager
def gcs() -> Iterator[Server]:
    program = components.require("fake-gcs-server")
    with process.scratch("gcs") as folder:
        port = free_port()
        server = Server(f"http://127.0.0.1:{port}")
        command: list[str | Path] = [program, "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
        # Its answers hold whole addresses.
        command += ["-public-host", f"127.0.0.1:{port}", "-external-url", server.endpoint]
        command += ["-backend", "filesystem", "-filesystem-root", folder / "data"]
        with process.running(command, folder, lambda: process.accepts(port)):
            yield server
