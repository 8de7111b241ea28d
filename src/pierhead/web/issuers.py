"""Signing in at an issuer (`/sign-in/oidc/…`): there, and back."""

from starlette.responses import RedirectResponse, Response

from pierhead.access.oidc.people import Provider, redirect_uri
from pierhead.access.oidc.tokens import Refused
from pierhead.access.sources import SourceUnavailable
from pierhead.errors import EndpointUnknown, SignInUnavailable, Unauthenticated
from pierhead.web import answers, factor
from pierhead.web.visit import Visit

_MINUTES = 60


def _provider(visit: Visit) -> Provider:
    """Raises EndpointUnknown."""
    found = visit.parts.providers.get(visit.request.path_params["name"])
    if found is None:
        raise EndpointUnknown
    return found


async def begin(visit: Visit) -> Response:
    provider = _provider(visit)
    visit.attempt()
    to = visit.local(visit.request.query_params.get("to", ""))
    try:
        back = redirect_uri(provider.settings.name, visit.parts.public_url or None, visit.host)
        address, sealed = await provider.begin(back, to)
    except Refused as error:
        return _failed(visit, provider, str(error))
    except SourceUnavailable:
        raise SignInUnavailable(f"oidc:{provider.settings.name}") from None
    visit.jar.set("issuer", sealed.decode("ascii"), seconds=_MINUTES * 60)
    return visit.finish(RedirectResponse(address, 303, headers={"cache-control": "no-store"}))


async def finish(visit: Visit) -> Response:
    provider = _provider(visit)
    sealed = (visit.jar.get("issuer") or "").encode("ascii", "replace")
    visit.jar.drop("issuer")
    try:
        came = await provider.finish(visit.request.scope["query_string"], sealed)
        principal = await visit.parts.access.users.signed_in(
            came.identity, credential="oidc", new=provider.settings.onboarding
        )
        await visit.parts.access.of_session(principal)
    except Refused as error:
        return _failed(visit, provider, str(error))
    except Unauthenticated as error:
        return _failed(visit, provider, _told(str(error)))
    except SourceUnavailable:
        raise SignInUnavailable(f"oidc:{provider.settings.name}") from None
    to = visit.local(came.return_to)
    if principal.id is not None and await visit.parts.second_factors.is_on(principal.id):
        return factor.require(visit, principal, to)
    await visit.enter(principal, "oidc")
    return answers.redirect(visit, to)


def _told(reason: str) -> str:
    if "belongs to somebody else" in reason:
        return "your name belongs to another account of this registry, or you have none here; ask whoever runs it"
    return reason


def _failed(visit: Visit, provider: Provider, reason: str) -> Response:
    visit.refuse("(unknown)", f"oidc:{provider.settings.name}: {reason}")
    label = provider.settings.label or provider.settings.name
    return answers.page(visit, "issuer_failed.html", 401, label=label, reason=reason[:1].upper() + reason[1:] + ".")
