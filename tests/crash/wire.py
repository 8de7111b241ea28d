"""One connection of a client that lives through crashes: it opens itself anew, and says when an answer is missing."""

import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


class NoAnswer(Exception):
    """Whether the request was done is not known."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # lower-case names
    body: bytes

    @property
    def offset(self) -> int:
        """Where the upload session stands that this answer tells of, in bytes; one byte and none look the same."""
        last = int(self.headers["range"].partition("-")[2])
        return last + 1 if last else 0


class Wire:
    def __init__(self, host: str, seconds: float = 30) -> None:
        self._host = host
        self._seconds = seconds  # without a byte of the answer
        self._connection: http.client.HTTPConnection | None = None
        self.port = 0  # of this end of the latest connection
        self.answers = 0  # that came by it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Raises NoAnswer."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._host, timeout=self._seconds)
        try:
            if self._connection.sock is None:
                self._connection.connect()
                self.answers = 0
            self._connection.request(method, path, body or None, dict(headers or {}))
            sock: socket.socket = self._connection.sock
            self.port = sock.getsockname()[1]
            response = self._connection.getresponse()
            answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
            self.answers += 1
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise NoAnswer(f"{method} {path}: {error!r}") from error
        if answer.headers.get("connection") == "close":
            self.close()
        return answer

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
