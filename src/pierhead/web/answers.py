"""Rendering, and the headers that every page has."""

import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, RedirectResponse, Response

from pierhead.errors import BadRequest, PierheadError
from pierhead.web import assets

if TYPE_CHECKING:
    from pierhead.web.visit import Visit

_HEADERS = {
    # Nothing but what is served here, and no script at all. Pictures of codes are data: of the page itself.
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # Not no-referrer: with that, browsers send `Origin: null` with the forms of these very pages.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


def page(visit: "Visit", template: str, status: int = 200, /, **content: Any) -> Response:
    everywhere = {
        "me": visit.session.principal if visit.session else None,
        "field": lambda: Markup('<input type="hidden" name="form_token" value="{}">').format(visit.form_token()),
        "registry": visit.registry,
        "css": assets.address("pierhead.css"),
    }
    body = _environment().get_template(template).render({**everywhere, **content})
    return _dressed(visit, HTMLResponse(body, status))


def redirect(visit: "Visit", to: str) -> Response:
    """After a form: what is reloaded then is the next page."""
    return _dressed(visit, RedirectResponse(to, 303))


def _dressed(visit: "Visit", response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers[name] = value
    return visit.finish(response)


def sentence(error: PierheadError) -> str:
    """What went wrong, as a sentence."""
    # "the request is malformed" says less than what is wrong with it.
    about, detail = "" if type(error) is BadRequest else str(type(error).__doc__), str(error)
    text = f"{about}: {detail}" if about and detail else about or detail
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters["ago"] = ago
    environment.filters["day"] = day
    environment.filters["exact"] = exact
    return environment


_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"))


def ago(microseconds: int | None) -> str:
    """How long ago, in the largest unit that says enough."""
    if microseconds is None:
        return "never"
    seconds = max(0, int(time.time() - microseconds / 1e6))
    if seconds < 60:  # noqa: PLR2004
        return "just now"
    size, name = next(unit for unit in _UNITS if seconds >= unit[0])
    count = seconds // size
    if name == "day" and count > 60:  # noqa: PLR2004
        return day(microseconds)
    return f"{count} {name}{'' if count == 1 else 's'} ago"


def day(microseconds: int) -> str:
    moment = datetime.fromtimestamp(microseconds / 1e6, UTC)
    return f"{moment.day} {moment:%B %Y}"


def exact(microseconds: int) -> str:
    return f"{datetime.fromtimestamp(microseconds / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC"
