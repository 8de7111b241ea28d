"""The choke point's two questions: who asks, and may they."""

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Self

from pierhead.access.htpasswd import AccountsFile
from pierhead.access.loopback import Headers, LoopbackGuard, is_open
from pierhead.access.passwords import Passwords
from pierhead.access.principal import ANONYMOUS, Principal
from pierhead.errors import Unauthenticated
from pierhead.models import Verb
from pierhead.settings import AccessSettings

CHALLENGE = b'Basic realm="pierhead"'
_LONGEST_HEADER = 16 * 1024  # bytes; a name and a password of 4 KiB each, in base64


class Access:
    """Who may do what, by the section [access]: open to local clients, to all, or to accounts."""

    def __init__(self, settings: AccessSettings, observe: Callable[[bool], None] = lambda _: None) -> None:
        """Raises ConfigurationError where the file of accounts is missing or has mistakes."""
        self._guard = LoopbackGuard() if is_open(settings) else None
        self._allow_anonymous = settings.allow_anonymous
        self._passwords = Passwords(AccountsFile(settings.htpasswd), settings, observe) if settings.htpasswd else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._passwords:
            self._passwords.close()

    def authenticate(self, headers: Headers, address: str) -> Principal | Awaitable[Principal]:
        """At once where that is possible, which is nearly always; else something to await.

        `headers` are those of the ASGI scope, in lower case; `address` is the client's.
        Raises OpenModeRefused, Unauthenticated, TooManyRequests (the awaitable too).
        """
        if self._passwords is None:
            if self._guard is not None:
                self._guard.check(headers, address)
            return ANONYMOUS
        for name, value in headers:
            if name == b"authorization":
                return self._passwords.remembered(value) or self._check(value)
        if self._allow_anonymous:
            return ANONYMOUS
        raise Unauthenticated("sign in with an account of this registry")

    def allows(self, principal: Principal, verb: Verb, repository: str) -> bool:  # noqa: ARG002 - roles come per repository
        """Where an anonymous caller is refused, a challenge (401) lets the client sign in; else 403."""
        return self._passwords is None or principal.credential != "none" or (self._allow_anonymous and verb == "pull")

    def _check(self, authorization: bytes) -> Awaitable[Principal]:
        assert self._passwords is not None  # noqa: S101 - for the type checker
        name, password = basic_credentials(authorization)
        return self._passwords.check(authorization, name, password)


def basic_credentials(authorization: bytes) -> tuple[str, bytes]:
    """Name and password of a Basic Authorization header (RFC 7617). Raises Unauthenticated."""
    scheme, _, encoded = authorization.strip().partition(b" ")
    if scheme.lower() != b"basic":
        raise Unauthenticated("only Basic authentication is supported")
    if len(encoded) > _LONGEST_HEADER:
        raise Unauthenticated("the credentials are too long")
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        password.decode("utf-8")
        if colon:
            return name.decode("utf-8"), password
    except (binascii.Error, UnicodeDecodeError):
        pass
    raise Unauthenticated("the Authorization header is malformed")
