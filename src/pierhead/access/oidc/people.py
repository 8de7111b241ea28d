"""Signing people in at an issuer: the authorization code flow with PKCE, state and nonce, and signing out there.

Who comes back must be the browser that left (the sealed attempt), with the answer of the issuer that it was sent to
(`iss` of RFC 9207, and a redirect URI of its own for each issuer), and the ID token must be made for this attempt
(`nonce`). The client's secret goes to the token endpoint of that issuer, and nowhere else. No token of it is kept.
"""

import base64
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, urlencode

from pierhead.access.oidc import identities
from pierhead.access.oidc.claims import Claims
from pierhead.access.oidc.client_secrets import client_secret
from pierhead.access.oidc.issuer import Issuer
from pierhead.access.oidc.metadata import Metadata
from pierhead.access.oidc.state import Attempt, Seal
from pierhead.access.oidc.tokens import Refused
from pierhead.access.sources import Identity, SourceUnavailable
from pierhead.addresses import is_usable
from pierhead.issuer_settings import OidcSettings
from pierhead.outbound import OutboundFailed

logger = logging.getLogger("pierhead.access")

CALLBACK = "/sign-in/oidc/{name}/callback"
AFTERWARDS = "/sign-in"  # where an issuer sends a browser that has signed out
_LONGEST_QUERY = 8 * 1024  # bytes
_MOST_FIELDS = 20
_NO_ANSWER = "the issuer's answer is incomplete or not for this sign-in; begin anew"


@dataclass(frozen=True, slots=True)
class SignedIn:
    identity: Identity
    return_to: str  # a path of this registry


def redirect_uri(name: str, public_url: str | None, host: str) -> str:
    """Where an issuer sends the browser back to: it must be registered there, letter by letter.

    `host` is that of the request; without server.public_url it is believed only where it names this machine.
    Raises Refused.
    """
    if public_url is None:
        public_url = f"http://{host}"
        if "/" in host or not is_usable(public_url):
            raise Refused("the registry does not know its own address; its operator sets server.public_url")
    return public_url + CALLBACK.format(name=name)


class Provider:
    """One table of `[[oidc]]`."""

    def __init__(self, settings: OidcSettings, issuer: Issuer, seal: Seal) -> None:
        self.settings = settings
        self._issuer = issuer
        self._seal = seal

    async def begin(self, redirect_uri: str, return_to: str) -> tuple[str, bytes]:
        """Where to send the browser, and what it must bring back in a cookie. Raises SourceUnavailable."""
        told = await self._issuer.metadata()
        attempt = Attempt.new(self.settings.name, redirect_uri, return_to)
        parameters = {
            **self.settings.authorize_parameters,
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self.settings.scopes),
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        return _with_query(_needed(told.authorization, "authorization_endpoint"), parameters), self._seal.close(attempt)

    async def finish(self, query: bytes, sealed: bytes) -> SignedIn:
        """Who came back. `query` is that of the redirect, as it came; `sealed` the cookie, to be deleted in any case.

        Raises Refused, SourceUnavailable.
        """
        attempt = self._seal.open(sealed)
        told = await self._issuer.metadata()
        code = self._code(_fields(query), attempt, told)
        answer = await self._exchange(code, attempt, told)
        claims = await self._verified(answer, attempt)
        if told.userinfo and identities.lacks(claims, self.settings):
            claims = {**await self._userinfo(told, answer, claims["sub"]), **claims}
        return SignedIn(identities.identity(claims, self.settings), attempt.return_to)

    async def sign_out_url(self, return_to: str) -> str | None:
        """Where the browser is signed out of the issuer too, then sent to `return_to`; None: there is no such place.

        `return_to` is a whole URL, and registered at the issuer. Raises SourceUnavailable.
        """
        told = await self._issuer.metadata()
        if not told.end_session:
            return None
        parameters = {"client_id": self.settings.client_id, "post_logout_redirect_uri": return_to}
        return _with_query(told.end_session, parameters)

    def _code(self, fields: Mapping[str, str], attempt: Attempt, told: Metadata) -> str:
        if attempt.source != self.settings.name or not compare_digest(
            fields.get("state", "").encode(), attempt.state.encode()
        ):
            raise Refused(_NO_ANSWER)
        # Before anything else of it is believed: it may be the answer of another issuer.
        named = fields.get("iss")
        if named != self._issuer.url and (named is not None or told.names_itself):
            raise Refused("this is the answer of another issuer than the one that was asked; begin anew")
        if "error" in fields:
            raise Refused(f"the issuer did not sign you in: {_printable(fields)}")
        if not fields.get("code"):
            raise Refused(_NO_ANSWER)
        return fields["code"]

    async def _exchange(self, code: str, attempt: Attempt, told: Metadata) -> Mapping[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": attempt.redirect_uri,
            "code_verifier": attempt.verifier,
        }
        headers = {"accept": "application/json"}
        secret = await client_secret(self.settings)
        if secret is None:
            form["client_id"] = self.settings.client_id
        elif told.takes_basic:
            headers["authorization"] = _basic(self.settings.client_id, secret)
        else:
            form |= {"client_id": self.settings.client_id, "client_secret": secret}
        try:
            answer = await self._issuer.outbound.post(_needed(told.token, "token_endpoint"), form, headers)
        except OutboundFailed as error:
            raise self._unavailable(error) from error
        content = _object(answer.content)
        if answer.status != 200:  # noqa: PLR2004
            # What is wrong with the registry's own registration there is for its operator.
            self._log("an issuer refuses the code of a sign-in", f"{answer.status} {_printable(content)}")
            raise Refused("the issuer does not accept this sign-in (any more); begin anew")
        return content

    async def _verified(self, answer: Mapping[str, Any], attempt: Attempt) -> Claims:
        token, own = answer.get("id_token"), self.settings.client_id
        if not isinstance(token, str):
            raise Refused("the issuer's answer has no ID token")
        claims = await self._issuer.verify(token, [own])
        audiences = [claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"]
        if not {own, *self.settings.audiences}.issuperset(audiences):
            raise Refused("the ID token is meant for others too (setting oidc.audiences)")
        # With several audiences it must say whom it was made for (OpenID Connect Core, 3.1.3.7).
        if claims.get("azp", own if len(audiences) == 1 else None) != own:
            raise Refused("the ID token was made for another client (azp)")
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not compare_digest(nonce.encode(), attempt.nonce.encode()):
            raise Refused("the ID token was made for another sign-in (nonce)")
        return claims

    async def _userinfo(self, told: Metadata, answer: Mapping[str, Any], subject: str) -> Claims:
        token = answer.get("access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            return {}
        try:
            content = await self._issuer.outbound.get(told.userinfo, {"authorization": f"Bearer {token}"})
        except OutboundFailed as error:
            raise self._unavailable(error) from error
        claims = _object(content)
        if claims.get("sub") != subject:
            raise Refused("the issuer speaks of somebody else than its ID token does")
        return claims

    def _unavailable(self, error: OutboundFailed) -> SourceUnavailable:
        self._log("an issuer gives no answer to a sign-in", str(error))
        return SourceUnavailable(f"{self._issuer.url} does not answer")

    def _log(self, event: str, reason: str) -> None:
        logger.warning(event, extra={"source": f"oidc:{self.settings.name}", "reason": reason})


def _fields(query: bytes) -> Mapping[str, str]:
    """Each stands there once (RFC 6749, 3.1). Raises Refused."""
    try:
        pairs = parse_qsl(
            query[: _LONGEST_QUERY + 1].decode("ascii"), True, True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError as error:
        raise Refused(_NO_ANSWER) from error
    fields = dict(pairs)
    if len(query) > _LONGEST_QUERY or len(fields) != len(pairs):
        raise Refused(_NO_ANSWER)
    return fields


def _object(content: bytes) -> dict[str, Any]:
    """Empty where it is none: what is then missing is told."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _printable(told: Mapping[str, Any]) -> str:
    """What an issuer says is wrong, as something that may be shown and logged."""
    text = " ".join(str(told[key]) for key in ("error", "error_description") if key in told)
    return "".join(char if char.isprintable() else " " for char in text[:200])


def _basic(name: str, secret: str) -> str:
    """Both are encoded as in a form first (RFC 6749, 2.3.1)."""
    pair = f"{quote_plus(name)}:{quote_plus(secret)}"
    return "Basic " + base64.b64encode(pair.encode("ascii")).decode("ascii")


def _with_query(url: str, parameters: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters, quote_via=quote)}"


def _needed(url: str, name: str) -> str:
    if not url:
        raise SourceUnavailable(f"the discovery document of the issuer has no {name}")
    return url
