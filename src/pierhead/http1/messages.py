"""The bytes of answers: heads, and whole answers to what never became a request."""

from functools import lru_cache
from http import HTTPStatus

import orjson

from pierhead.asgi.types import Headers


class Refusal(Exception):
    """What is refused before there is a request to hand on."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def refusal(why: Refusal, date: bytes) -> bytes:
    """A whole answer, in the form of OCI errors, after which the connection ends."""
    detail = {"code": "UNSUPPORTED", "message": "the request is not taken", "detail": str(why)}
    body = orjson.dumps({"errors": [detail]})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"docker-distribution-api-version", b"registry/2.0"),
    ]
    return head(why.status, headers, date + b"connection: close\r\n") + body


def head(status: int, headers: Headers, more: bytes) -> bytes:
    """Raises ValueError where a header has a line break in it, which would forge others."""
    lines = [b"%b: %b\r\n" % pair for pair in headers]
    whole = b"".join((_status_line(status), *lines, more, b"\r\n"))
    if not whole.count(b"\n") == whole.count(b"\r") == len(lines) + 2 + more.count(b"\n"):
        raise ValueError("a header has a line break in it")
    return whole


@lru_cache(maxsize=128)
def _status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()
