"""`/setup`: the first administrator, made by whoever has the address that `pierhead serve` printed."""

import secrets

from starlette.responses import Response

from pierhead.errors import BadRequest, ChangeRefused, SetupOver, Unauthenticated
from pierhead.web import answers
from pierhead.web.visit import Visit

_TOKEN_MAX = 128


async def show(visit: Visit) -> Response:
    token = visit.request.query_params.get("token", "")
    if visit.session is not None:
        return answers.redirect(visit, "/account")
    if not token and not visit.is_open:
        return answers.redirect(visit, "/sign-in")
    if not await _is_good(visit, token):
        return await _over(visit)
    return answers.page(visit, "setup.html", token=token, name="admin", mistake=None)


async def make(visit: Visit) -> Response:
    parts, form = visit.parts, visit.form
    visit.attempt()
    token, name = form.get("token", ""), form.get("name", "").strip()
    if not await _is_good(visit, token):
        return await _over(visit)
    try:
        password = visit.typed_twice("password")
        await parts.first.create(token, name, password, actor=visit.actor)
    except SetupOver:
        return await _over(visit)
    except (BadRequest, ChangeRefused) as error:
        return answers.page(visit, "setup.html", 400, token=token, name=name[:128], mistake=answers.sentence(error))
    try:
        principal = await parts.access.passwords.check(secrets.token_bytes(16), name, password.encode(), visit.address)
    except Unauthenticated:  # changed again already
        return answers.redirect(visit, "/sign-in")
    await visit.enter(principal, "setup")
    return answers.redirect(visit, "/account?welcome")


async def _is_good(visit: Visit, token: str) -> bool:
    return 0 < len(token) <= _TOKEN_MAX and await visit.parts.first.is_offered(token)


async def _over(visit: Visit) -> Response:
    # Asked anew: somebody may have been quicker.
    is_open = await visit.parts.access.is_open()
    return answers.page(visit, "setup_over.html", 404 if is_open else 410, is_open=is_open)
