"""Requests to Google Cloud Storage, and which of their failures may pass."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import aiohttp
from google.auth.exceptions import GoogleAuthError
from yarl import URL

from pierhead.blobs.objects.gcs.account import Account
from pierhead.blobs.objects.patience import PASSING, Fault
from pierhead.errors import BlobMissing, StorageFailed

_CONNECT_SECONDS = 10
_SILENT_SECONDS = 30  # an answer that stands still for so long has failed
_CONNECTIONS = 256
_READ_BYTES = 256 * 1024
_EXPLANATION_BYTES = 4096  # of an error that are looked at


# Only these can find that an object is not there; what the others miss is the bucket.
_OF_AN_OBJECT = frozenset({"get", "head", "remove", "complete"})


class Refused(Exception):
    """An answer that is no good one."""

    def __init__(self, status: int, explanation: bytes) -> None:
        super().__init__(status)
        self.status = status
        # These the service tells only in words.
        self.names_bucket = b"bucket does not exist" in explanation
        self.names_checksum = status == HTTPStatus.BAD_REQUEST and b"CRC32C" in explanation


@dataclass(frozen=True, slots=True)
class Body:
    """Of a request. Sent piece by piece, without being joined first; good for many tries."""

    kind: str
    pieces: Sequence[bytes | bytearray]

    @property
    def headers(self) -> dict[str, str]:
        return {"content-type": self.kind, "content-length": str(sum(map(len, self.pieces)))}

    async def stream(self) -> AsyncIterator[bytes | bytearray]:
        for piece in self.pieces:
            yield piece


@contextmanager
def gcs_errors(operation: str) -> Iterator[None]:
    """Foreign errors as ours. Names a status or a kind, never a text, which may hold a URL."""
    try:
        yield
    except Refused as error:
        if error.status in PASSING or error.names_checksum:
            raise Fault(f"{operation}: {error.status}") from error
        if error.status == HTTPStatus.NOT_FOUND and operation in _OF_AN_OBJECT and not error.names_bucket:
            raise BlobMissing(operation) from error
        raise StorageFailed(f"{operation}: {error.status}") from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Fault(f"{operation}: {type(error).__name__}") from error
    except GoogleAuthError as error:
        kind = Fault if error.retryable else StorageFailed
        raise kind(f"{operation}: {type(error).__name__}") from error


class Service:
    """To be opened with `async with`."""

    def __init__(self, endpoint: str, account: Account) -> None:
        self.endpoint = endpoint.rstrip("/")
        self.account = account

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENT_SECONDS),
            auto_decompress=False,
            read_bufsize=_READ_BYTES,
            trust_env=True,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A good answer; no redirect is followed, which could take a token along. Raises Refused."""
        url = URL(self.endpoint + path, encoded=True).with_query(query)
        sent = {**(headers or {}), **await self.account.headers(), "accept-encoding": "identity"}
        sent |= body.headers if body else {}
        async with self._session.request(
            method, url, headers=sent, data=body.stream() if body else None, allow_redirects=False
        ) as response:
            if response.status >= HTTPStatus.MULTIPLE_CHOICES:
                raise Refused(response.status, await response.content.read(_EXPLANATION_BYTES))
            yield response

    async def ask(self, method: str, path: str, **details: Any) -> dict[str, Any]:
        """The document that a request is answered with; details as of `request`."""
        async with self.request(method, path, **details) as response:
            if response.status == HTTPStatus.NO_CONTENT:
                return {}
            document: dict[str, Any] = await response.json(content_type=None)
            return document
