"""`/sign-in` by name and password, and `/sign-out`."""

import secrets

from starlette.responses import Response

from pierhead.access.oidc import people
from pierhead.access.principal import Principal
from pierhead.access.sources import SourceUnavailable
from pierhead.errors import TooManyRequests, Unauthenticated, Unavailable
from pierhead.web import answers, factor
from pierhead.web.visit import Visit

_NAME_MAX = 256


async def show(visit: Visit) -> Response:
    to = visit.local(visit.request.query_params.get("to", ""))
    if visit.session is not None:
        return answers.redirect(visit, to)
    if visit.is_open:
        return answers.redirect(visit, "/")
    return _form(visit, to=to)


async def enter(visit: Visit) -> Response:
    parts, form = visit.parts, visit.form
    name, password, to = form.get("name", "").strip(), form.get("password", ""), visit.local(form.get("to", ""))
    try:
        principal = await _check(visit, name, password)
    except Unauthenticated as error:
        visit.refuse(name[:_NAME_MAX] or "(unknown)", str(error))
        disabled = "disabled" in str(error)
        mistake = "This account is disabled." if disabled else "This name and password do not go together."
        return _form(visit, 401, to=to, name=name, mistake=mistake)
    except TooManyRequests as error:
        visit.refuse(name[:_NAME_MAX] or "(unknown)", str(error))
        response = _form(visit, 429, to=to, name=name, mistake=_wait(error.retry_after))
        response.headers["retry-after"] = str(error.retry_after)
        return response
    except Unavailable as error:
        response = _form(visit, 503, to=to, name=name, mistake=answers.sentence(error))
        response.headers["retry-after"] = str(error.retry_after)
        return response
    if principal.id is not None and await parts.second_factors.is_on(principal.id):
        return factor.require(visit, principal, to)
    await visit.enter(principal, "password")
    return answers.redirect(visit, to)


async def _check(visit: Visit, name: str, password: str) -> Principal:
    """Raises Unauthenticated, TooManyRequests, Unavailable."""
    visit.attempt()
    if not name or not password or len(name) > _NAME_MAX:
        raise Unauthenticated("wrong name or password")
    access = visit.parts.access
    principal = await access.passwords.check(secrets.token_bytes(16), name, password.encode(), visit.address)
    await access.of_session(principal)
    return principal


async def leave(visit: Visit) -> Response:
    """Here, and where an issuer signed them in, there too, as far as it lets itself be told."""
    if visit.session is None:
        return answers.redirect(visit, "/sign-in")
    source = visit.session.principal.source
    await visit.leave()
    provider = visit.parts.providers.get(source.removeprefix("oidc:")) if source.startswith("oidc:") else None
    if provider is not None:
        try:
            address = await provider.sign_out_url(visit.base + people.AFTERWARDS)
        except SourceUnavailable:
            address = None
        if address is not None:
            label = provider.settings.label or provider.settings.name
            return answers.page(visit, "left.html", address=address, label=label)
    return answers.redirect(visit, "/sign-in")


def _form(visit: Visit, status: int = 200, *, to: str, name: str = "", mistake: str | None = None) -> Response:
    issuers = [(table.name, table.label or table.name) for table in visit.parts.issuers.values()]
    return answers.page(visit, "sign_in.html", status, to=to, name=name[:_NAME_MAX], mistake=mistake, issuers=issuers)


def _wait(seconds: int) -> str:
    told = f"{seconds} seconds" if seconds < 120 else f"{seconds // 60} minutes"  # noqa: PLR2004
    return f"Too many attempts. Try again in {told}."
