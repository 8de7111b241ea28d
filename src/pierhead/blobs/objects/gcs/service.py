"""Requests to Google Cloud Storage, and which of their failures may pass."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import aiohttp
from google.auth.exceptions import GoogleAuthError
from yarl import URL

from pierhead.blobs.objects.gcs.account import Account
from pierhead.blobs.objects.patience import PASSING, Fault
from pierhead.errors import BlobMissing, StorageFailed

Body = Callable[[], AsyncIterator[bytes | bytearray]]  # a new one for each try

_CONNECT_SECONDS = 10
_SILENT_SECONDS = 30  # an answer that stands still for so long has failed
_CONNECTIONS = 256
_READ_BYTES = 256 * 1024
_EXPLANATION_BYTES = 4096  # of an error that are looked at


@contextmanager
def gcs_errors(operation: str) -> Iterator[None]:
    """Foreign errors as ours. Names their kind, not their text, which may hold a URL."""
    try:
        yield
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
        operation: str,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A good answer. Raises Fault where it failed and may pass, BlobMissing, StorageFailed."""
        url = URL(self.endpoint + path, encoded=True).with_query(query)
        with gcs_errors(operation):
            sent = {**(headers or {}), **await self.account.headers(), "accept-encoding": "identity"}
            async with self._session.request(
                method, url, headers=sent, data=body() if body else None, allow_redirects=False
            ) as response:
                await _judge(operation, response)
                yield response

    async def ask(self, operation: str, method: str, path: str, **details: Any) -> dict[str, Any]:
        """The document that a request is answered with; details as of `request`."""
        async with self.request(operation, method, path, **details) as response:
            if response.status == HTTPStatus.NO_CONTENT:
                return {}
            document: dict[str, Any] = await response.json(content_type=None)
            return document


async def _judge(operation: str, response: aiohttp.ClientResponse) -> None:
    if response.status < HTTPStatus.MULTIPLE_CHOICES:
        return
    explanation = await response.content.read(_EXPLANATION_BYTES)
    if response.status in PASSING:
        raise Fault(f"{operation}: {response.status}")
    # The service tells only in words whether the object or its bucket is not there.
    if response.status == HTTPStatus.NOT_FOUND and b"bucket does not exist" not in explanation:
        raise BlobMissing(operation)
    raise StorageFailed(f"{operation}: {response.status}")
