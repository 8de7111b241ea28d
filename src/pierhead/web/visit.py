"""One request of a page: who asks, from where, by which name of this registry, and what the form says.

A form that changes something must come from a page of this registry (Origin, Sec-Fetch-Site), and carry a token that
only such a page knew: of the session, or before there is one, of a cookie that was set with the form.
"""

import asyncio
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from hmac import compare_digest
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from pierhead.access.authenticator import Admitted
from pierhead.access.principal import Principal
from pierhead.access.proxy import HOST
from pierhead.access.sessions import How, Session
from pierhead.accounts.by import By
from pierhead.addresses import countable
from pierhead.errors import BadRequest, FormRefused, PasswordRefused, Unauthenticated
from pierhead.models import Actor
from pierhead.observability.requests import RequestRecord
from pierhead.web.cookies import Jar
from pierhead.web.parts import Parts
from pierhead.web.seals import Seals

_FORM_TYPE = "application/x-www-form-urlencoded"
_FORM_MAX = 64 * 1024  # bytes
_FORM_SECONDS = 30.0
_FIELDS_MAX = 40
_TOKEN = "form_token"  # noqa: S105  the name of a field
_OWN_SITES = frozenset(("same-origin", "none"))
# A path of this registry: // and /\ would lead to another host.
_LOCAL = re.compile(r"/(?![/\\])[!-\[\]-~]{0,1023}", re.ASCII)


class NotSignedIn(Exception):
    """this page is for whoever signed in"""


class Visit:
    def __init__(self, parts: Parts, request: Request) -> None:
        self.parts = parts
        self.request = request
        self.record: RequestRecord = request.scope["pierhead.record"]
        peer = request.client.host if request.client else ""
        headers = request.scope["headers"]
        host = request.headers.get("host", "")
        client = parts.proxies.client(peer, headers, scheme=request.scope["scheme"], host=host)
        self.address = self.record.address = client.address
        self.host = client.host if HOST.fullmatch(client.host) else ""
        self.scheme = urlsplit(parts.public_url).scheme or client.scheme
        self.jar = Jar(request.cookies, secure=self.scheme == "https")
        self.session: Session | None = None
        self.admitted: Admitted | None = None
        self.form: Mapping[str, str] = {}
        self.seals: Seals
        self.is_open = False

    async def arrive(self) -> None:
        """Raises FormRefused, BadRequest, Unavailable."""
        self.is_open = await self.parts.access.is_open()
        self.seals = Seals(await self.parts.sessions.secret())
        await self._recognize()
        if self.request.method == "POST":
            self._require_own_page()
            self.form = await self._read_form()
            self._require_form_token()

    async def _recognize(self) -> None:
        value = self.jar.get("session")
        found = await self.parts.sessions.find(value, self.address) if value else None
        if found is None:
            return
        try:
            self.admitted = await self.parts.access.of_session(found.principal)
        except Unauthenticated:  # disabled, or of another password: signed out
            await self.parts.sessions.end(found)
            return
        self.session = found
        self.record.principal = found.principal.name

    # Who

    def own(self) -> tuple[Session, Admitted]:
        """Raises NotSignedIn."""
        if self.session is None or self.admitted is None:
            raise NotSignedIn
        return self.session, self.admitted

    @property
    def actor(self) -> Actor:
        principal = self.session.principal if self.session else None
        return Actor(
            principal.name if principal else "anonymous",
            credential="session" if principal else "none",
            address=self.address,
            agent=self.agent,
            request_id=self.record.request_id,
            id=principal.id if principal else None,
        )

    @property
    def by(self) -> By:
        _, admitted = self.own()
        return By(self.actor, admitted.verbs)

    @property
    def agent(self) -> str:
        return self.request.headers.get("user-agent", "")[:256]

    async def enter(self, principal: Principal, how: How) -> None:
        """Signs in, with another cookie than any before."""
        value = await self.parts.sessions.open(
            principal, how, address=self.address, agent=self.agent, instead=self.session
        )
        self.jar.set("session", value)
        self.jar.drop("step")
        self.jar.drop("form")
        self.record.principal = principal.name
        self.session = await self.parts.sessions.find(value, self.address)
        self.parts.audit.signed_in(self.actor, way=how)

    def attempt(self) -> None:
        """Somebody tries to come in. Raises TooManyRequests after many others from the same place."""
        self.parts.attempts.take(countable(self.address))

    def refuse(self, name: str, why: str) -> None:
        """Tells the audit trail, by the name that somebody gave."""
        self.record.error = "UNAUTHORIZED"
        self.parts.audit.refused(replace(self.actor, name=name), why)

    async def leave(self) -> None:
        if self.session is not None:
            await self.parts.sessions.end(self.session)
        self.jar.drop("session")
        self.session = self.admitted = None

    async def end_others(self) -> None:
        if self.session is not None:
            await self.parts.sessions.end_others(self.session)

    # Where

    @property
    def registry(self) -> str:
        """What clients call this registry: host and port."""
        return urlsplit(self.parts.public_url).netloc or self.host or "127.0.0.1:5000"

    @property
    def base(self) -> str:
        return self.parts.public_url or f"{self.scheme}://{self.registry}"

    def local(self, text: str, otherwise: str = "/account") -> str:
        """A path of this registry, and nothing that leads elsewhere."""
        return text if _LOCAL.fullmatch(text) else otherwise

    def sign_in_address(self) -> str:
        path = self.request.url.path if self.request.method != "POST" else "/account"
        return "/sign-in" if path == "/account" else f"/sign-in?to={quote(self.local(path))}"

    # Forms

    def form_token(self) -> str:
        """What a form of this page carries. Before a session, with a cookie."""
        if self.session is not None:
            return self.seals.mac("session form", self.session.key)
        value = self.jar.get("form") or ""
        if not 20 <= len(value) <= 64:  # noqa: PLR2004
            value = secrets.token_urlsafe(32)
            self.jar.set("form", value)
        return self.seals.mac("form", value.encode())

    def typed_twice(self, field: str) -> str:
        """A new password. Raises PasswordRefused where it was typed differently the second time."""
        if self.form.get(field, "") != self.form.get("again", ""):
            raise PasswordRefused("it was typed differently the second time")
        return self.form.get(field, "")

    def _require_form_token(self) -> None:
        if self.session is not None:
            expected = self.seals.mac("session form", self.session.key)
        else:
            value = self.jar.get("form")
            if not value:
                raise FormRefused
            expected = self.seals.mac("form", value.encode())
        if not compare_digest(self.form.get(_TOKEN, "").encode(), expected.encode()):
            raise FormRefused

    def _require_own_page(self) -> None:
        """What browsers say of where a form comes from; what is no browser says nothing."""
        headers = self.request.headers
        if headers.get("sec-fetch-site", "none") not in _OWN_SITES:
            raise FormRefused
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() not in self._own_hosts():
            raise FormRefused

    def _own_hosts(self) -> frozenset[str]:
        return frozenset(filter(None, (urlsplit(self.parts.public_url).netloc.lower(), self.host.lower())))

    async def _read_form(self) -> Mapping[str, str]:
        if self.request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM_TYPE:
            raise BadRequest("a form is expected")
        try:
            async with asyncio.timeout(_FORM_SECONDS):
                body = await self._body()
            fields = parse_qsl(
                body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX
            )
        except ValueError:
            raise BadRequest("this form is malformed") from None
        except (TimeoutError, ClientDisconnect):
            raise BadRequest(f"a form is expected within {_FORM_SECONDS:g} seconds") from None
        return dict(fields)

    async def _body(self) -> bytes:
        body = b""
        async for piece in self.request.stream():
            body += piece
            if len(body) > _FORM_MAX:
                raise BadRequest(f"a form has at most {_FORM_MAX} bytes")
        return body

    def finish(self, response: Response) -> Response:
        """With the cookies that were set meanwhile."""
        self.jar.write(response)
        return response
