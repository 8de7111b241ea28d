"""GET and POST /token: bearer tokens for those who sign in, and for nobody in particular. GET /token/keys: what they
are verified with.

distribution, "Token Authentication Specification" (GET) and "OAuth2 Token Authentication" (POST, RFC 6749).
"""

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from pierhead import errors
from pierhead.access import scopes
from pierhead.access.authenticator import Admitted
from pierhead.access.issuing import Issued, Issuer
from pierhead.access.principal import Principal
from pierhead.access_settings import TokenSettings
from pierhead.accounts.signing_keys import SigningKeys
from pierhead.asgi.types import Headers, Receive, Scope, Send
from pierhead.distribution import challenges, trail
from pierhead.distribution.call import Call
from pierhead.distribution.errors import oci_error
from pierhead.distribution.face import Face
from pierhead.observability.observability import Observability

_FORM = b"application/x-www-form-urlencoded"
_FORM_BYTES = 64 * 1024
_FIELDS = 128
_UNSTORED: Headers = [(b"cache-control", b"no-store"), (b"pragma", b"no-cache")]
# Others may keep keys for so long. The next one is published an hour before it signs.
_KEYS_SECONDS = 600

log = logging.getLogger(__name__)


class OAuthRefusal(Exception):
    """An answer of RFC 6749, section 5.2."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Tokens:
    def __init__(
        self, face: Face, issuer: Issuer, keys: SigningKeys, observability: Observability, settings: TokenSettings
    ) -> None:
        self._face = face
        self._issuer = issuer
        self._keys = keys
        self._observability = observability
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record = self._observability.started(scope)
        call = Call(self._face, scope, receive, send, record)
        call.address = record.address = challenges.client(call).address
        refuse = _refuse_form if scope["method"] == "POST" else _refuse
        try:
            answer = self._answer(call)
            await answer(call)
        except (errors.PierheadError, OAuthRefusal) as error:
            if isinstance(error, errors.PierheadError):
                trail.refused(call, error)
            await refuse(call, error)
        except Exception:
            log.exception("a request failed unexpectedly", extra={"request_id": record.request_id})
            await refuse(call, errors.PierheadError(f"request {record.request_id}"))
        finally:
            self._observability.finished(record)

    def _answer(self, call: Call) -> Callable[[Call], Awaitable[None]]:
        method = call.scope["method"]
        if call.scope["raw_path"] == challenges.KEYS_PATH.encode():
            answers, call.record.operation = {"GET": self._show_keys}, "token_keys"
        else:
            answers, call.record.operation = {"GET": self._by_query, "POST": self._by_form}, "token"
        if method not in answers:
            raise errors.MethodNotAllowed(method, list(answers))
        return answers[method]

    async def _show_keys(self, call: Call) -> None:
        """RFC 7517."""
        headers: Headers = [(b"cache-control", b"public, max-age=%d" % _KEYS_SECONDS)]
        await call.respond_json(200, {"keys": await self._keys.published()}, headers)

    async def _by_query(self, call: Call) -> None:
        self._require_service(call.query("service"))
        asked = self._asked(call, call.queries("scope"))
        by_proxy = challenges.came_by_proxy(call)
        principal = self._let_in(call, await self._issuer.who(call.scope["headers"], call.address, by_proxy=by_proxy))
        if principal.credential == "none" and not call.queries("scope"):
            raise errors.Unauthenticated("sign in, or say what the token is for")
        issued = await self._issuer.issue(principal, asked)
        refresh = None
        if call.query("offline_token") == "true":
            refresh = await self._refresh(call, principal, call.query("client_id"))
        await _give(call, issued, refresh)

    async def _by_form(self, call: Call) -> None:
        form, wanted = await _form(call)
        self._require_service(form.get("service"))
        asked = self._asked(call, wanted)
        principal = self._let_in(call, await self._of_form(call, form))
        issued = await self._issuer.issue(principal, asked)
        refresh = None
        if form.get("access_type") == "offline":
            # Who came with one gets the same again.
            refresh = form.get("refresh_token") or await self._refresh(call, principal, form.get("client_id"))
        await _give(call, issued, refresh)

    def _let_in(self, call: Call, admitted: Admitted) -> Principal:
        call.admitted = admitted
        call.record.principal = admitted.principal.name
        trail.signed_in(call)
        return admitted.principal

    async def _of_form(self, call: Call, form: dict[str, str]) -> Admitted:
        kind = _given(form, "grant_type")
        if kind == "refresh_token":
            return await self._issuer.by_refresh(_given(form, kind), call.address)
        if kind != "password" or "refresh_token" in form:
            raise OAuthRefusal("unsupported_grant_type", "grant_type: password or refresh_token")
        name, password = _given(form, "username"), _given(form, "password")
        call.claimed = name
        return await self._issuer.by_password(name, password, call.scope["headers"], call.address)

    def _asked(self, call: Call, wanted: list[str]) -> scopes.Asked:
        return scopes.parse(wanted, hosts=challenges.own_hosts(call), most=self._settings.max_scopes)

    def _require_service(self, service: str | None) -> None:
        if service not in (None, "", self._settings.service):
            raise errors.QueryInvalid("service: this registry is called otherwise (setting tokens.service)")

    async def _refresh(self, call: Call, principal: Principal, program: str | None) -> str | None:
        return await self._issuer.remember(principal, client=program or "", address=call.address)


async def _form(call: Call) -> tuple[dict[str, str], list[str]]:
    """The fields of the body, and all its scopes. Raises OAuthRefusal."""
    kind = (call.header(b"content-type") or b"").partition(b";")[0].strip().lower()
    if kind != _FORM:
        raise OAuthRefusal("invalid_request", f"Content-Type: {_FORM.decode()} is expected")
    body = await call.body(_FORM_BYTES)
    if body is None:
        raise OAuthRefusal("invalid_request", f"the form is longer than {_FORM_BYTES} bytes")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS)
    except ValueError as error:
        raise OAuthRefusal("invalid_request", "the form is malformed: percent-encoded UTF-8 is expected") from error
    fields = dict(pair for pair in pairs if pair[0] != "scope")
    wanted = [value for name, value in pairs if name == "scope"]
    if len(fields) + len(wanted) < len(pairs):
        raise OAuthRefusal("invalid_request", "a field stands more than once")
    return fields, wanted


def _given(form: dict[str, str], name: str) -> str:
    if not form.get(name):
        raise OAuthRefusal("invalid_request", f"{name} is missing")
    return form[name]


async def _give(call: Call, issued: Issued, refresh: str | None) -> None:
    minted = issued.minted
    answer: dict[str, Any] = {
        "token": minted.token,
        "access_token": minted.token,
        "token_type": "Bearer",
        "expires_in": minted.seconds,
        "issued_at": datetime.fromtimestamp(minted.issued_at, UTC).isoformat().replace("+00:00", "Z"),
        "scope": issued.scope,
    }
    if refresh:
        answer["refresh_token"] = refresh
    await call.respond_json(200, answer, [*_UNSTORED])


async def _refuse(call: Call, error: Exception) -> None:
    """In the words of the Distribution API."""
    assert isinstance(error, errors.PierheadError)  # noqa: S101  the other kind comes of forms alone
    code, status = oci_error(error)
    headers = _headers(error)
    if isinstance(error, errors.Unauthenticated):
        headers.append((b"www-authenticate", challenges.BASIC))
    await _tell(call, status, {"errors": [_detail(error)]}, code, headers)


async def _refuse_form(call: Call, error: Exception) -> None:
    """In the words of OAuth 2, and in those of the Distribution API, which clients show to people."""
    if isinstance(error, OAuthRefusal):
        detail = {"code": "UNSUPPORTED", "message": str(error), "detail": error.code}
        answer = {"error": error.code, "error_description": str(error), "errors": [detail]}
        await _tell(call, 400, answer, "UNSUPPORTED", [])
        return
    assert isinstance(error, errors.PierheadError)  # noqa: S101  there is no third kind
    code, status = oci_error(error)
    word = _oauth_word(error)
    if word == "invalid_grant":
        status = 400
    detail = _detail(error)
    answer = {"error": word, "error_description": detail["message"], "errors": [detail]}
    await _tell(call, status, answer, code, _headers(error))


def _oauth_word(error: errors.PierheadError) -> str:
    """RFC 6749, section 5.2; of what it has no word for, those of section 4.1.2.1."""
    words: dict[type[errors.PierheadError], str] = {
        errors.Unauthenticated: "invalid_grant",
        errors.ScopeInvalid: "invalid_scope",
        errors.TooManyRequests: "temporarily_unavailable",
        errors.Unavailable: "temporarily_unavailable",
        errors.AccessDenied: "unauthorized_client",
        errors.OpenModeRefused: "unauthorized_client",
        errors.BadRequest: "invalid_request",
        errors.MethodNotAllowed: "invalid_request",
        errors.EndpointUnknown: "invalid_request",
        errors.BodyTooShort: "invalid_request",
        errors.BodyTooSlow: "invalid_request",
        errors.PierheadError: "server_error",
    }
    return next(words[kind] for kind in type(error).__mro__ if kind in words)


def _detail(error: errors.PierheadError) -> dict[str, str]:
    code, _ = oci_error(error)
    message = str(type(error).__doc__)
    # Docker shows the message alone, and who signs in has to hear what was wrong.
    if isinstance(error, errors.Unauthenticated | errors.BadRequest) and str(error):
        message = str(error)
    return {"code": code, "message": message, "detail": str(error)}


def _headers(error: errors.PierheadError) -> Headers:
    if isinstance(error, errors.MethodNotAllowed):
        return [(b"allow", ", ".join(error.allowed).encode())]
    if isinstance(error, errors.Unavailable | errors.TooManyRequests):
        return [(b"retry-after", b"%d" % error.retry_after)]
    return []


async def _tell(call: Call, status: int, answer: dict[str, Any], code: str, headers: Headers) -> None:
    call.record.error = code
    if call.header(b"expect") is not None and call.scope["http_version"].startswith("1"):
        headers = [*headers, (b"connection", b"close")]
    try:
        await call.respond_json(status, answer, [*headers, *_UNSTORED])
        await call.drain()
    except OSError:
        pass  # the client has gone
