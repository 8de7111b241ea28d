"""Talking to a server as no well-behaved client would, and looking at what it keeps.

`Socket` sends bytes as they are; `Ledger` is everything a server has stored, so that a
test can say that nothing was.
"""

import hashlib
import json
import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import apsw
import httpx

from pierhead.models import HEX_LENGTHS
from pierhead.registry.documents import OCI_IMAGE
from tests.running import Running
from tests.test_errors import CODES

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
_TABLES = ("repositories", "blobs", "repository_blobs", "manifests", "tags", "tag_history", "events", "uploads")


@dataclass(slots=True)
class Answer:
    """A response as it came."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    interim: list[int] = field(default_factory=list)  # 1xx before it

    @property
    def errors(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = json.loads(self.body)["errors"]
        return found


class Socket:
    """A connection on which nothing is well-formed but what the test sends."""

    def __init__(self, server: Running, *, timeout: float = 20) -> None:
        host, _, port = server.host.rpartition(":")
        self.raw = socket.create_connection((host, int(port)), timeout=timeout)
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.raw.close()

    def send(self, data: bytes | str) -> Self:
        self.raw.sendall(data.encode() if isinstance(data, str) else data)
        return self

    def request(self, method: str, path: str | bytes, *headers: str | bytes, body: bytes = b"") -> Self:
        """A request with exactly these headers and Host."""
        lines = [_bytes(method) + b" " + _bytes(path) + b" HTTP/1.1", b"Host: 127.0.0.1", *map(_bytes, headers)]
        return self.send(b"\r\n".join(lines) + b"\r\n\r\n" + body)

    def half_close(self) -> Self:
        self.raw.shutdown(socket.SHUT_WR)
        return self

    def answer(self, *, head: bool = False) -> Answer:
        """The next final response. Raises ConnectionError where there is none."""
        interim: list[int] = []
        while True:
            lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
            status = int(lines[0].split(" ")[1])
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)
            }
            if status >= 200:
                break
            interim.append(status)
        length = 0 if head or status in {204, 304} else int(headers.get("content-length", "0"))
        return Answer(status, headers, self.read(length), interim)

    def read(self, length: int) -> bytes:
        while len(self._buffer) < length:
            self._more()
        found, self._buffer = self._buffer[:length], self._buffer[length:]
        return found

    def closed(self, seconds: float = 5) -> bool:
        """Whether the server ends the connection, without another byte, within a time."""
        self.raw.settimeout(seconds)
        try:
            return not self._buffer and self.raw.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True

    def silent(self, seconds: float = 0.3) -> bool:
        """Whether no byte comes for a time."""
        self.raw.settimeout(seconds)
        try:
            self._buffer += self.raw.recv(65536)
        except TimeoutError:
            return not self._buffer
        return False

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._more()
        found, _, self._buffer = self._buffer.partition(mark)
        return found

    def _more(self) -> None:
        data = self.raw.recv(1 << 18)
        if not data:
            raise ConnectionError(f"the server closed the connection; it sent {self._buffer[:200]!r}")
        self._buffer += data


def _bytes(text: str | bytes) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else text


def ask(server: Running, method: str, path: str | bytes, *headers: str | bytes, body: bytes = b"") -> Answer:
    """One request on a connection of its own, its path sent as it is."""
    if body and not any(
        _bytes(header).lower().startswith((b"content-length", b"transfer-encoding")) for header in headers
    ):
        headers = (*headers, f"Content-Length: {len(body)}")
    with Socket(server) as connection:
        return connection.request(method, path, *headers, body=body).answer(head=method == "HEAD")


# What is refused, and what is kept


def refused(answer: Answer | httpx.Response, status: int, code: str, *mentions: str) -> dict[str, str]:
    """Checks a refusal: its status, its code, that it says what is wrong; returns the error."""
    if isinstance(answer, httpx.Response):
        answer = Answer(answer.status_code, dict(answer.headers), answer.content)
    assert answer.status == status, (answer.status, answer.body[:500])
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["docker-distribution-api-version"] == "registry/2.0"
    [error] = answer.errors
    assert error["code"] == code, error
    assert error["code"] in CODES
    assert len(error["message"]) > 10
    for mention in mentions:
        assert mention.lower() in f"{error['message']} {error['detail']}".lower(), error
    return error


@dataclass(frozen=True, slots=True)
class Ledger:
    """Everything that a server keeps: its rows, and the files of its blobs and uploads."""

    rows: dict[str, int]
    blobs: frozenset[str]
    staged: frozenset[str]

    @classmethod
    def of(cls, server: Running) -> Self:
        connection = apsw.Connection(str(server.data / "pierhead.db"), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            rows = {table: connection.execute(f"SELECT count(*) FROM {table}").get for table in _TABLES}
            # The rows of cancelled ones say so until they expire.
            rows["uploads"] = connection.execute("SELECT count(*) FROM uploads WHERE epoch >= 0").get
        finally:
            connection.close()
        return cls(rows, _files(server, "blobs"), _files(server, "uploads"))


def _files(server: Running, folder: str) -> frozenset[str]:
    return frozenset(_below(os.fspath(server.data / folder)))


def _below(path: str) -> Iterator[str]:
    for name in os.listdir(path):  # noqa: PTH208  hot: hundreds of directories, before and after each test
        if len(name) == len("ab") or name in HEX_LENGTHS:
            yield from _below(f"{path}/{name}")
        elif not name.startswith(".ping"):
            yield f"{path}/{name}"


@contextmanager
def nothing_stored(server: Running) -> Iterator[None]:
    """No row, no blob, no session and no staged byte more or less after the block, and the server serves."""
    before = Ledger.of(server)
    yield
    # One look decides: a client that vanished may still be seen to between two.
    assert wait_until(lambda: Ledger.of(server) == before, 3)
    assert httpx.get(f"{server.url}/v2/", timeout=10).status_code == 200
    assert server.process.poll() is None


def wait_until(condition: Any, seconds: float = 10) -> bool:
    """Whether a condition comes true in time."""
    ending = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ending:
            return False
        time.sleep(0.02)
    return True


# Pushing


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def sha512(content: bytes) -> str:
    return "sha512:" + hashlib.sha512(content).hexdigest()


def push_blob(client: httpx.Client, repository: str, content: bytes, digest: str | None = None) -> str:
    digest = digest or sha256(content)
    response = client.post(f"/v2/{repository}/blobs/uploads/", params={"digest": digest}, content=content)
    assert response.status_code == 201, response.text
    return digest


def start(client: httpx.Client, repository: str) -> str:
    """The path of a new session."""
    response = client.post(f"/v2/{repository}/blobs/uploads/")
    assert response.status_code == 202, response.text
    return response.headers["location"]


def descriptor(content: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha256(content), "size": len(content)}


def image(config: bytes = b"{}", layers: Iterable[bytes] = (), **fields: Any) -> bytes:
    value = {
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE,
        "config": descriptor(config, CONFIG_TYPE),
        "layers": [descriptor(layer, LAYER_TYPE) for layer in layers],
        **fields,
    }
    return json.dumps(value).encode()


def push_manifest(
    client: httpx.Client, repository: str, reference: str, content: bytes, media_type: str = OCI_IMAGE
) -> httpx.Response:
    return client.put(f"/v2/{repository}/manifests/{reference}", content=content, headers={"content-type": media_type})


def push_image(client: httpx.Client, repository: str, tag: str, text: str = "", **fields: Any) -> str:
    """Pushes a small image that `text` makes different, and returns its digest."""
    config = json.dumps({"text": text}).encode()
    push_blob(client, repository, config)
    response = push_manifest(client, repository, tag, image(config, **fields))
    assert response.status_code == 201, response.text
    return response.headers["docker-content-digest"]


# Processes


def workers(server: Running) -> list[int]:
    """The ids of the server's worker processes."""
    pid = server.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def memory(server: Running) -> int:
    """Bytes of anonymous and shared memory of all its processes."""
    total = 0
    for pid in [server.process.pid, *workers(server)]:
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in status if line.startswith(("RssAnon", "RssShmem")))
    return total * 1024


def descriptors(server: Running) -> int:
    """Open file descriptors of its workers."""
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in workers(server))  # noqa: PTH208
