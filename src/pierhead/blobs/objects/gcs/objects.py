"""The requests of the JSON API that are needed, one a function; each tries once.

Names are those of the service: with the prefix, whole.
"""

import base64
import re
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import google_crc32c
import orjson

from pierhead.blobs.objects.bucket import Stored
from pierhead.blobs.objects.gcs.service import Body, Service
from pierhead.blobs.objects.patience import Fault
from pierhead.errors import StorageFailed

COMPOSED_AT_ONCE = 32
_PAGE = "1000"  # names in a listing's answer: the most that the service gives
_SLICE = 1024 * 1024
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Page:
    objects: list[Stored]
    following: str | None  # the service's name for the next one


class Objects:
    def __init__(self, service: Service, bucket: str, *, storage_class: str | None, kms_key: str | None) -> None:
        self._service = service
        self._bucket = quote(bucket, safe="")
        self._class = {"storageClass": storage_class} if storage_class else {}
        self._key = {"kmsKeyName": kms_key} if kms_key else {}

    async def insert(self, name: str, content: Sequence[bytes | bytearray]) -> None:
        """The service compares the checksum that goes ahead of the bytes, and refuses others."""
        boundary = secrets.token_hex(16)
        document = orjson.dumps({"name": name, "crc32c": checksum(content), **self._class})
        limit = f"--{boundary}".encode()
        head = b"%b\r\ncontent-type: application/json\r\n\r\n%b\r\n%b\r\n" % (limit, document, limit)
        tail = b"\r\n%b--\r\n" % limit
        pieces = [head, b"content-type: application/octet-stream\r\n\r\n", *content, tail]

        kind = f"multipart/related; boundary={boundary}"
        path = f"/upload/storage/v1/b/{self._bucket}/o"
        query = {"uploadType": "multipart", "fields": "name", **self._key}
        await self._service.ask("POST", path, query=query, body=Body(kind, pieces))

    async def read(self, name: str, start: int, length: int) -> AsyncGenerator[bytes, None]:
        """Bytes [start, start + length), or Fault where the answer ends before the last of them."""
        path = f"/download{self._path(name)}"
        headers = {"range": f"bytes={start}-{start + length - 1}"}
        left = length
        async with self._service.request("GET", path, query={"alt": "media"}, headers=headers) as response:
            _check_range(response.headers.get("content-range", ""), start, length)
            async for piece in response.content.iter_any():
                yield piece[:left]
                left -= len(piece[:left])
        if left:
            raise Fault(f"get: {left} of {length} bytes did not come")

    async def stat(self, name: str) -> dict[str, Any]:
        return await self._service.ask("GET", self._path(name), query={"fields": "size,metadata"})

    async def delete(self, name: str) -> None:
        await self._service.ask("DELETE", self._path(name))

    async def page(self, prefix: str, after: str, following: str | None) -> Page:
        query = {"prefix": prefix, "maxResults": _PAGE, "fields": "items(name,size,updated),nextPageToken"}
        query |= {"pageToken": following} if following else {}
        query |= {"startOffset": after} if after else {}
        answer = await self._service.ask("GET", f"/storage/v1/b/{self._bucket}/o", query=query)
        objects = [
            Stored(item["name"], int(item["size"]), _microseconds(item["updated"])) for item in answer.get("items", [])
        ]
        return Page(objects, answer.get("nextPageToken"))

    async def compose(self, sources: Sequence[str], name: str, metadata: Mapping[str, str]) -> int:
        """Makes one object of up to 32, which stay; the size of it. They have its class, as the service demands."""
        document = {
            "sourceObjects": [{"name": source} for source in sources],
            "destination": {"metadata": metadata, **self._class},
        }
        query = {"fields": "size", **self._key}
        body = Body("application/json", [orjson.dumps(document)])
        path = f"{self._path(name)}/compose"
        answer = await self._service.ask("POST", path, query=query, body=body)
        return int(answer["size"])

    def _path(self, name: str) -> str:
        return f"/storage/v1/b/{self._bucket}/o/{quote(name, safe='')}"


def checksum(content: Sequence[bytes | bytearray]) -> str:
    value = 0
    for piece in content:
        # It takes bytes only, and of others no big copy shall be made.
        for start in range(0, len(piece), _SLICE):
            part = piece if isinstance(piece, bytes) and len(piece) <= _SLICE else bytes(piece[start : start + _SLICE])
            value = google_crc32c.extend(value, part)
    return base64.b64encode(value.to_bytes(4, "big")).decode()


def _check_range(said: str, start: int, length: int) -> None:
    matched = _CONTENT_RANGE.fullmatch(said)
    if not matched or int(matched[1]) != start:
        raise Fault("get: the answer is not the range that was asked for")
    if int(matched[3]) < start + length:
        raise StorageFailed(f"get: the object has {matched[3]} bytes, {start + length} are needed")


def _microseconds(moment: str) -> int:
    return (datetime.fromisoformat(moment) - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
