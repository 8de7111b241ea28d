"""The style sheet and the sign of the registry. Their addresses hold what they are, so that browsers keep them."""

import hashlib
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

_FOLDER = Path(__file__).parent / "assets"
_TYPES = {"pierhead.css": "text/css; charset=utf-8", "mark.svg": "image/svg+xml"}
_YEAR = "public, max-age=31536000, immutable"


@cache
def _content(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()


@cache
def address(name: str) -> str:
    return f"/assets/{name}?{hashlib.sha256(_content(name)).hexdigest()[:12]}"


async def send(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _TYPES:
        return Response("there is nothing at this path\n", 404, media_type="text/plain")
    headers = {
        "cache-control": _YEAR if request.url.query else "no-cache",
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'",
        "cross-origin-resource-policy": "same-origin",
    }
    return Response(_content(name), media_type=_TYPES[name], headers=headers)
