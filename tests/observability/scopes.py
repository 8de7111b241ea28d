"""Request scopes as Granian makes them, and what an application answers to one."""

from dataclasses import dataclass
from typing import Any

from pierhead.asgi.types import App, Message, Scope


def http_scope(method: str = "GET", path: str = "/v2/", **changes: Any) -> Scope:
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode("latin-1", "replace"),
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1:5000"), (b"user-agent", b"docker/27.1")],
        "client": ("127.0.0.1", "40000"),
        "server": ("127.0.0.1", "5000"),
    }
    return scope | changes


@dataclass
class Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes


async def ask(app: App, scope: Scope) -> Answer:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return Answer(sent[0]["status"], dict(sent[0]["headers"]), body)
