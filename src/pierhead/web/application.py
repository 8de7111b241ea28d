"""Which function answers which path, and how what they raise reads."""

import logging
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from pierhead import errors
from pierhead.asgi.types import App
from pierhead.web import account, answers, assets, factor, front, issuers, password, setup, sign_in, tokens
from pierhead.web.parts import Parts
from pierhead.web.visit import NotSignedIn, Visit

Handler = Callable[[Visit], Awaitable[Response]]

# What shows something, and what changes something. The paths are those of `pages.is_page`.
GET: dict[str, Handler] = {
    "/": front.show,
    "/setup": setup.show,
    "/sign-in": sign_in.show,
    "/sign-in/second": factor.ask,
    "/sign-in/oidc/{name}": issuers.begin,
    "/sign-in/oidc/{name}/callback": issuers.finish,
    "/account": account.show,
    "/account/tokens": tokens.show,
    "/account/tokens/new": tokens.ask,
    "/account/password": password.show,
    "/account/second-factor": factor.show,
}
POST: dict[str, Handler] = {
    "/setup": setup.make,
    "/sign-in": sign_in.enter,
    "/sign-in/second": factor.enter,
    "/sign-out": sign_in.leave,
    "/account/sessions/end": account.end_session,
    "/account/sessions/end-others": account.end_others,
    "/account/tokens/new": tokens.create,
    "/account/tokens/revoke": tokens.revoke,
    "/account/tokens/rotate": tokens.rotate,
    "/account/password": password.change,
    "/account/second-factor/begin": factor.begin,
    "/account/second-factor/prove": factor.prove,
    "/account/second-factor/codes": factor.renew_codes,
    "/account/second-factor/remove": factor.remove,
}

_SETUP = (setup.show, setup.make)
_STATUS: dict[type[errors.PierheadError], int] = {
    errors.BadRequest: 400,
    errors.EndpointUnknown: 404,
    errors.SecretUnknown: 404,
    errors.ChangeRefused: 409,
    errors.Unauthenticated: 401,
    errors.AccessDenied: 403,
    errors.OpenModeRefused: 403,
    errors.TooManyRequests: 429,
    errors.Unavailable: 503,
    errors.PierheadError: 500,
}

log = logging.getLogger(__name__)


def build(parts: Parts) -> App:
    def answering(path: str) -> Route:
        handlers = {"GET": GET.get(path), "HEAD": GET.get(path), "POST": POST.get(path)}
        methods = [method for method, handler in handlers.items() if handler]

        async def answer(request: Request) -> Response:
            handler = handlers[request.method]
            assert handler is not None  # noqa: S101  the route has no other methods
            return await _answer(parts, request, handler)

        return Route(path, answer, methods=methods)

    routes = [answering(path) for path in dict.fromkeys([*GET, *POST])]

    async def nothing(request: Request) -> Response:
        return await _answer(parts, request, _nothing)

    routes += [Route("/assets/{name}", assets.send), Route("/{path:path}", nothing, methods=["GET", "HEAD", "POST"])]
    return Router(routes, redirect_slashes=False)


def _waits(parts: Parts, handler: Handler) -> bool:
    """Whether a page is not for a registry that is being set up."""
    return parts.access.needs_setup and handler not in _SETUP


async def _being_set_up(_: Visit) -> Response:
    raise errors.Unauthenticated("this registry is being set up; come back when that is done")


async def _nothing(_: Visit) -> Response:
    raise errors.EndpointUnknown


async def _answer(parts: Parts, request: Request, handler: Handler) -> Response:
    visit = Visit(parts, request)
    try:
        await visit.arrive()
        return await (_being_set_up if visit.is_open and _waits(parts, handler) else handler)(visit)
    except NotSignedIn:
        return answers.redirect(visit, visit.sign_in_address())
    except errors.PierheadError as error:
        return _refused(visit, error)
    except Exception:
        log.exception("a page failed unexpectedly", extra={"request_id": visit.record.request_id})
        return _refused(visit, errors.PierheadError(f"request {visit.record.request_id}"))


def _refused(visit: Visit, error: errors.PierheadError) -> Response:
    status = next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
    response = answers.page(visit, "refused.html", status, status=status, error=error, message=answers.sentence(error))
    if isinstance(error, errors.Unavailable | errors.TooManyRequests):
        response.headers["retry-after"] = str(error.retry_after)
    return response
