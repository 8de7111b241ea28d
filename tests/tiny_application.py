"""A small application for the supervisor's tests: no storage, a few telling answers."""

import asyncio
import os
from typing import Any

from pierhead import worker

SLOW_PIECES = 20
SLOW_START_SECONDS = 0.7

opened = asyncio.Event()


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await _live(receive, send)
    elif scope["path"] == "/slow":
        await _slow(send)
    else:
        await _answer(scope, send)


def build() -> Any:
    if worker.settings().log.level == "error":
        raise RuntimeError("this application refuses to start")
    return application


async def _live(receive: Any, send: Any) -> None:
    await receive()
    if worker.settings().log.level == "warning":
        await asyncio.sleep(SLOW_START_SECONDS)
    opened.set()
    await send({"type": "lifespan.startup.complete"})
    worker.ready()
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def _answer(scope: dict[str, Any], send: Any) -> None:
    if not opened.is_set():
        raise RuntimeError("asked before it was open")
    headers = dict(scope["headers"])
    text = f"{os.getpid()} {worker.settings().manifests.max_references} {headers.get(b'host', b'').decode()}"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})


async def _slow(send: Any) -> None:
    """Two seconds in pieces."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(SLOW_PIECES):
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await asyncio.sleep(0.1)
    await send({"type": "http.response.body", "body": b"."})
