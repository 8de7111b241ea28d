"""Azurite's blob service: what Azure Blob Storage is to a program, on files of this machine."""

import base64
import hmac
import secrets
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import httpx

from tests import components
from tests.leaks import passwords
from tests.running import free_port
from tests.servers import process

ACCOUNT = "pierhead"
VERSION = "2025-01-05"  # of the API, in each request


@dataclass(frozen=True, slots=True)
class Container:
    endpoint: str  # with the account as its path, as Azurite and custom domains have it
    name: str
    account: str
    key: str = field(repr=False)  # base64

    def client(self) -> httpx.Client:
        """Its requests are signed; their paths begin with the blob's name."""
        return httpx.Client(
            base_url=f"{self.endpoint}/{self.name}/", auth=SharedKey(self.account, self.key), timeout=30
        )


@dataclass(frozen=True, slots=True)
class Server:
    endpoint: str
    key: str = field(repr=False)

    def container(self) -> Container:
        container = Container(self.endpoint, f"pierhead-{secrets.token_hex(8)}", ACCOUNT, self.key)
        with httpx.Client(auth=SharedKey(ACCOUNT, self.key)) as client:
            client.put(f"{self.endpoint}/{container.name}", params={"restype": "container"}).raise_for_status()
        return container


@contextmanager
def azurite() -> Iterator[Server]:
    program = components.require("azurite-blob")
    key = passwords.drawn(base64.b64encode(secrets.token_bytes(64)).decode())
    with process.scratch("azurite") as folder:
        port = free_port()
        command: list[str | Path] = [program, "--blobPort", str(port), "--location", folder / "data"]
        command += ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
        environment = {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}"}
        with process.running(command, folder, lambda: process.accepts(port), environment=environment):
            yield Server(f"http://127.0.0.1:{port}/{ACCOUNT}", key)


class SharedKey(httpx.Auth):
    """Azure's signature of a request with an account's key."""

    requires_request_body = True

    def __init__(self, account: str, key: str) -> None:
        self._account = account
        self._key = base64.b64decode(key)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["x-ms-date"] = format_datetime(datetime.now(UTC), usegmt=True)
        request.headers["x-ms-version"] = VERSION
        text = self._text(request)
        signature = base64.b64encode(hmac.digest(self._key, text.encode(), "sha256")).decode()
        request.headers["authorization"] = f"SharedKey {self._account}:{signature}"
        yield request

    def _text(self, request: httpx.Request) -> str:
        headers = request.headers
        length = str(len(request.content)) if request.content else ""
        standard = ["content-encoding", "content-language", "content-md5", "content-type", "date"]
        conditions = ["if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range"]
        first = [headers.get(name, "") for name in standard]
        own = sorted(f"{name}:{value}" for name, value in headers.items() if name.startswith("x-ms-"))
        # The account stands there twice: for itself, and as the path of an address without a name.
        resource = f"/{self._account}{request.url.raw_path.partition(b'?')[0].decode()}"
        query = sorted(f"{name.lower()}:{value}" for name, value in request.url.params.multi_items())
        return "\n".join(
            [
                request.method,
                *first[:2],
                length,
                *first[2:],
                *(headers.get(name, "") for name in conditions),
                *own,
                resource,
                *query,
            ]
        )
