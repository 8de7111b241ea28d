"""`/`: where somebody is, and how to push and pull here."""

from starlette.responses import Response

from pierhead.web import answers
from pierhead.web.visit import Visit


async def show(visit: Visit) -> Response:
    """Pages to look at repositories will stand here."""
    return answers.page(visit, "front.html", is_open=visit.is_open)
