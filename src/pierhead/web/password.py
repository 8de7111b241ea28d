"""`/account/password`: another password for a local account."""

import secrets

from starlette.responses import Response

from pierhead.errors import BadRequest, EndpointUnknown, Unauthenticated
from pierhead.web import answers
from pierhead.web.visit import Visit


async def show(visit: Visit) -> Response:
    _require_local(visit)
    return answers.page(visit, "password.html", mistake=None)


async def change(visit: Visit) -> Response:
    _require_local(visit)
    session, _ = visit.own()
    name, form, passwords = session.principal.name, visit.form, visit.parts.access.passwords
    try:
        await passwords.check(secrets.token_bytes(16), name, form.get("old", "").encode(), visit.address)
        new = visit.typed_twice("new")
        await visit.parts.users.set_password(name, new, by=visit.by)
        principal = await passwords.check(secrets.token_bytes(16), name, new.encode(), visit.address)
    except Unauthenticated:
        return answers.page(visit, "password.html", 400, mistake="That is not your current password.")
    except BadRequest as error:
        return answers.page(visit, "password.html", 400, mistake=answers.sentence(error))
    await visit.enter(principal, session.how)
    await visit.end_others()
    return answers.redirect(visit, "/account?password-changed")


def _require_local(visit: Visit) -> None:
    """Raises EndpointUnknown: other sources change their passwords themselves."""
    if visit.own()[0].principal.source != "local":
        raise EndpointUnknown
