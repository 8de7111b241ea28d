"""The second factor: asked for after the password (`/sign-in/second`), added and removed (`/account/second-factor`)."""

from starlette.responses import Response

from pierhead.access.principal import Principal
from pierhead.errors import AlreadyThere, PrincipalUnknown, TooManyRequests, Unauthenticated
from pierhead.web import answers
from pierhead.web.visit import Visit

_STEP_SECONDS = 300
_CODE_MAX = 64
_WRONG = "This code is wrong, or was used already. An app shows a new one every half minute."


def require(visit: Visit, principal: Principal, to: str) -> Response:
    """On from the password. What was proven so far goes with the browser, sealed, and opens nothing by itself."""
    told = {"id": principal.id, "name": principal.name, "source": principal.source, "version": principal.version}
    visit.jar.set("step", visit.seals.close("second step", {**told, "to": to}, _STEP_SECONDS), seconds=_STEP_SECONDS)
    return answers.redirect(visit, "/sign-in/second")


async def ask(visit: Visit) -> Response:
    if visit.session is not None:
        return answers.redirect(visit, "/account")
    if _step(visit) is None:
        return answers.redirect(visit, "/sign-in")
    return answers.page(visit, "second.html", mistake=None)


async def enter(visit: Visit) -> Response:
    told = _step(visit)
    if told is None:
        return answers.redirect(visit, "/sign-in")
    principal, to = told
    try:
        visit.attempt()
        await visit.parts.access.of_session(principal)
        await check(visit, principal, visit.form.get("code", ""))
    except Unauthenticated:
        visit.refuse(principal.name, "a wrong code of the second factor")
        return answers.page(visit, "second.html", 401, mistake=_WRONG)
    except TooManyRequests as error:
        mistake = f"Too many attempts. Try again in {error.retry_after} seconds."
        response = answers.page(visit, "second.html", 429, mistake=mistake)
        response.headers["retry-after"] = str(error.retry_after)
        return response
    await visit.enter(principal, "password")
    return answers.redirect(visit, visit.local(to))


async def check(visit: Visit, principal: Principal, code: str) -> None:
    """Raises Unauthenticated, and TooManyRequests after some wrong ones: six digits can be guessed."""
    backoff, who = visit.parts.wrong_codes, f"{principal.id}"
    backoff.require(who, visit.address)
    with backoff.trying(who, visit.address):
        try:
            await visit.parts.second_factors.check(principal.id or 0, code.strip()[:_CODE_MAX])
        except Unauthenticated:
            backoff.wrong(who, visit.address)
            raise
    backoff.right(who, visit.address)


def _step(visit: Visit) -> tuple[Principal, str] | None:
    told = visit.seals.open("second step", visit.jar.get("step") or "")
    if told is None:
        return None
    return Principal(told["name"], "session", told["id"], version=told["version"], source=told["source"]), told["to"]


# In the account


async def show(visit: Visit) -> Response:
    session, _ = visit.own()
    owner = session.principal.id or 0
    is_on = await visit.parts.second_factors.is_on(owner)
    left = await visit.parts.second_factors.codes_left(owner) if is_on else 0
    return answers.page(visit, "factor.html", is_on=is_on, left=left, mistake=None)


async def begin(visit: Visit) -> Response:
    session, _ = visit.own()
    try:
        begun = await visit.parts.second_factors.begin(session.principal.name)
    except AlreadyThere:
        return answers.redirect(visit, "/account/second-factor")
    return _enrol(visit, begun.uri, begun.secret)


def _enrol(visit: Visit, uri: str, secret: str, status: int = 200, mistake: str | None = None) -> Response:
    import segno  # noqa: PLC0415  for this page alone

    picture = segno.make(uri, error="m").svg_data_uri(scale=4, border=2, dark="#10202b", light="#ffffff")
    # The secret comes back with the form: only the browser that was shown it can go on.
    sealed = visit.seals.close("enrol", {"uri": uri, "secret": secret, "session": visit.own()[0].label}, 900)
    groups = " ".join(secret[start : start + 4] for start in range(0, len(secret), 4))
    return answers.page(visit, "enrol.html", status, picture=picture, secret=groups, sealed=sealed, mistake=mistake)


async def prove(visit: Visit) -> Response:
    session, _ = visit.own()
    told = visit.seals.open("enrol", visit.form.get("sealed", ""))
    if told is None or told["session"] != session.label:
        return answers.redirect(visit, "/account/second-factor")
    backoff, who = visit.parts.wrong_codes, f"{session.principal.id}"
    backoff.require(who, visit.address)
    try:
        code = visit.form.get("code", "")[:_CODE_MAX]
        codes = await visit.parts.second_factors.prove(session.principal.name, code, by=visit.by)
    except Unauthenticated:
        backoff.wrong(who, visit.address)
        return _enrol(visit, told["uri"], told["secret"], 400, _WRONG)
    except (AlreadyThere, PrincipalUnknown):
        return answers.redirect(visit, "/account/second-factor")
    await visit.parts.sessions.end_others(session)
    return answers.page(visit, "codes.html", codes=codes, is_new=True)


async def renew_codes(visit: Visit) -> Response:
    session, _ = visit.own()
    refused = await _confirm(visit)
    if refused is not None:
        return refused
    codes = await visit.parts.second_factors.renew_codes(session.principal.name, by=visit.by)
    return answers.page(visit, "codes.html", codes=codes, is_new=False)


async def remove(visit: Visit) -> Response:
    session, _ = visit.own()
    refused = await _confirm(visit)
    if refused is not None:
        return refused
    await visit.parts.users.reset_second_factor(session.principal.name, by=visit.by)
    return answers.redirect(visit, "/account?factor-removed")


async def _confirm(visit: Visit) -> Response | None:
    """Whoever sits down at somebody's browser must not be able to take the factor off."""
    session, _ = visit.own()
    try:
        await check(visit, session.principal, visit.form.get("code", ""))
    except Unauthenticated:
        left = await visit.parts.second_factors.codes_left(session.principal.id or 0)
        return answers.page(visit, "factor.html", 400, is_on=True, left=left, mistake=_WRONG)
    return None
