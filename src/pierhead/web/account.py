"""`/account`: who I am here, what I hold, and where I am signed in."""

from starlette.responses import Response

from pierhead.web import answers
from pierhead.web.visit import Visit

_NEWS = {
    "welcome": "This registry has its first administrator: you. From now on everybody has to sign in.",
    "password-changed": "Your password was changed, and all your other sessions were ended.",
    "factor-removed": "The second factor was removed.",
    "session-ended": "That session was ended.",
    "others-ended": "All your other sessions were ended.",
}
_TOKENS_SHOWN = 200


async def show(visit: Visit) -> Response:
    session, admitted = visit.own()
    parts, principal = visit.parts, session.principal
    shown = await parts.users.show(principal.name)
    tokens = await parts.tokens.page(principal.name, size=_TOKENS_SHOWN)
    return answers.page(
        visit,
        "account.html",
        news=next((text for key, text in _NEWS.items() if key in visit.request.query_params), None),
        user=shown.user,
        teams=shown.teams,
        source=source(visit, principal.source),
        holdings=await parts.access.holdings(admitted.rights),
        tokens=[listed for listed in tokens if listed.token.kind == "personal"],
        sessions=await parts.sessions.of(session),
        session=session,
        device=device,
    )


async def end_session(visit: Visit) -> Response:
    session, _ = visit.own()
    await visit.parts.sessions.end_labelled(session, visit.form.get("session", ""))
    return answers.redirect(visit, "/account?session-ended")


async def end_others(visit: Visit) -> Response:
    session, _ = visit.own()
    await visit.parts.sessions.end_others(session)
    return answers.redirect(visit, "/account?others-ended")


def source(visit: Visit, name: str) -> str:
    """A source of accounts, in words."""
    kind, _, rest = name.partition(":")
    if kind == "oidc":
        table = visit.parts.issuers.get(rest)
        return f"Signs in at {(table.label if table else None) or rest}"
    words = {"local": "Account of this registry", "htpasswd": "Account of the htpasswd file"}
    return words.get(name) or f"Account of the directory {rest or name}"


_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"),
            ("Mac OS", "macOS"), ("Linux", "Linux"))  # fmt: skip


def device(agent: str) -> str:
    """What a browser calls itself, as far as people want to know it."""
    browser = next((name for mark, name in _BROWSERS if mark in agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in agent), "")
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or agent.partition("/")[0][:40] or "An unnamed client"
