"""One connection to one server, with as much of LDAP as signing in needs. The only module that knows the library.

ldap3 limits how long each read waits; here all that an answer takes ends by a time, also where a server sends it byte
by byte. Blocking: this runs in threads.
"""

import math
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import ldap3
from ldap3.core.exceptions import LDAPExceptionError
from ldap3.core.results import (
    RESULT_BUSY,
    RESULT_CONSTRAINT_VIOLATION,
    RESULT_INAPPROPRIATE_AUTHENTICATION,
    RESULT_INSUFFICIENT_ACCESS_RIGHTS,
    RESULT_INVALID_CREDENTIALS,
    RESULT_NO_SUCH_OBJECT,
    RESULT_REFERRAL,
    RESULT_SIZE_LIMIT_EXCEEDED,
    RESULT_SUCCESS,
    RESULT_TIME_LIMIT_EXCEEDED,
    RESULT_UNAVAILABLE,
    RESULT_UNWILLING_TO_PERFORM,
)
from ldap3.operation.search import parse_filter

from pierhead.access.ldap.failures import DirectoryRefused, ServerFailed, ServerSilent
from pierhead.source_settings import LdapSettings

_START_TLS = "1.3.6.1.4.1.1466.20037"  # RFC 4511, 4.14.1
_PLAIN_PORT, _TLS_PORT = 389, 636
_LONGEST_ANSWER = 4 * 1024 * 1024  # bytes; the library copies all that has come at each read
_LONGEST_TEXT = 300  # of what a server or the library says

# Besides a wrong password: accounts that have none, are locked or gone, or may not sign in.
_PASSWORD_REFUSED = frozenset(
    {
        RESULT_INVALID_CREDENTIALS,
        RESULT_INAPPROPRIATE_AUTHENTICATION,
        RESULT_CONSTRAINT_VIOLATION,
        RESULT_INSUFFICIENT_ACCESS_RIGHTS,
        RESULT_NO_SUCH_OBJECT,
        RESULT_UNWILLING_TO_PERFORM,
    }
)
_SERVER_FAILED = frozenset({RESULT_BUSY, RESULT_UNAVAILABLE, RESULT_TIME_LIMIT_EXCEEDED})
_SCOPES: dict[str, Literal["SUBTREE", "LEVEL", "BASE"]] = {"subtree": "SUBTREE", "one": "LEVEL", "base": "BASE"}


@dataclass(frozen=True, slots=True)
class Entry:
    dn: str
    attributes: dict[str, tuple[bytes, ...]]  # by names in lower case

    def texts(self, attribute: str) -> list[str]:
        """Raises DirectoryRefused where a value is no text."""
        try:
            return [value.decode("utf-8") for value in self.attributes.get(attribute.lower(), ())]
        except UnicodeDecodeError as error:
            raise DirectoryRefused(f"{attribute} of {self.dn} is not UTF-8") from error


def tls_context(settings: LdapSettings) -> ssl.SSLContext:
    """Raises OSError where the file of authorities is missing or holds none."""
    context = ssl.create_default_context(cafile=settings.ca_certificate)
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def is_filter(text: str) -> bool:
    try:
        parse_filter(text, None, auto_escape=False, auto_encode=False, validator=None, check_names=False)
    except LDAPExceptionError:
        return False
    return True


class Connection:
    def __init__(self, url: str, settings: LdapSettings, context: ssl.SSLContext) -> None:
        """Open, with TLS where the settings want it, and signed in as nobody. Raises ServerFailed."""
        self._settings = settings
        self._context = context
        self._clock = _Clock()
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        port = parts.port or (_TLS_PORT if parts.scheme == "ldaps" else _PLAIN_PORT)
        self._ldap = ldap3.Connection(
            ldap3.Server(self._host, port, get_info=ldap3.NONE, allowed_referral_hosts=[]),
            auto_referrals=False,
            auto_escape=False,
            check_names=False,
            raise_exceptions=False,
        )
        try:
            with self._limited(settings.connect_seconds):
                self._adopt(socket.create_connection((self._host, port), timeout=settings.connect_seconds))
            if parts.scheme == "ldaps" or settings.start_tls:
                with self._limited(settings.connect_seconds):
                    self._change_to_tls(start=settings.start_tls)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def bind(self, dn: str, password: bytes) -> bool:
        """Whether the directory takes this password. Raises ServerFailed, DirectoryRefused."""
        if not dn or not password:
            # The directory would take that for nobody's, and say that all is well (RFC 4513, 5.1.2).
            return False
        # As the bytes they are: what RFC 4013 would make of them refuses letters that are newer than it.
        self._ldap.authentication, self._ldap.user, self._ldap.password = ldap3.SIMPLE, dn, password
        try:
            with self._limited(self._settings.operation_seconds):
                self._ldap.bind(read_server_info=False)
        finally:
            self._ldap.password = None
        code = self._code()
        if code in _PASSWORD_REFUSED:
            return False
        self._accept(code, f"the sign-in of {dn}")
        return True

    def search(
        self, base: str, search_filter: str, attributes: list[str], *, scope: str = "subtree", limit: int
    ) -> list[Entry]:
        """At most one entry more than the limit. Raises ServerFailed, DirectoryRefused."""
        with self._limited(self._settings.operation_seconds):
            self._ldap.search(
                base,
                search_filter,
                search_scope=_SCOPES[scope],
                dereference_aliases=ldap3.DEREF_NEVER,
                attributes=attributes,
                size_limit=limit + 1,
                time_limit=math.ceil(self._settings.operation_seconds),
            )
        code = self._code()
        if code == RESULT_NO_SUCH_OBJECT and scope == "base":
            return []
        if code != RESULT_SIZE_LIMIT_EXCEEDED:
            self._accept(code, f"the search below {base}")
        # References to other servers are left alone: nobody has said that those may be asked.
        found = [answer for answer in self._ldap.response or () if answer["type"] == "searchResEntry"]
        return [_entry(answer) for answer in found[: limit + 1]]

    def close(self) -> None:
        """Says goodbye where that takes no time, and is silent about what fails."""
        connected = self._ldap.socket
        if connected is None:
            return
        with suppress(LDAPExceptionError, OSError):
            self._clock.allow(0.2)
            self._ldap.unbind()
        with suppress(OSError):
            connected.close()

    @property
    def tls(self) -> str:
        """The version of TLS that is spoken, or nothing."""
        connected = self._ldap.socket
        inner = connected.inner if isinstance(connected, _Clocked) else None
        return (inner.version() or "") if isinstance(inner, ssl.SSLSocket) else ""

    def _adopt(self, connected: socket.socket) -> None:
        """What the library's own `open` does around its socket; that one would wait for each address and TLS anew."""
        self._ldap.socket = _Clocked(connected, self._clock)
        self._ldap.closed = False
        self._ldap.strategy._outstanding = {}  # noqa: SLF001
        self._ldap.strategy._start_listen()  # noqa: SLF001

    def _change_to_tls(self, *, start: bool) -> None:
        if start:
            self._ldap.extended(_START_TLS)
            if self._code() != RESULT_SUCCESS:
                raise ServerFailed(f"StartTLS was refused: {self._ldap.result['description']}")
        plain: _Clocked = self._ldap.socket
        plain.inner.settimeout(self._clock.left())
        wrapped = self._context.wrap_socket(plain.inner, server_hostname=self._host)
        self._ldap.socket = _Clocked(wrapped, self._clock)

    def _code(self) -> int:
        return int(self._ldap.result["result"])

    def _accept(self, code: int, what: str) -> None:
        if code == RESULT_SUCCESS:
            return
        said = _short(f"{self._ldap.result['description']} {self._ldap.result['message'] or ''}")
        if code in _SERVER_FAILED:
            raise ServerFailed(f"{what} failed: {said}")
        if code == RESULT_REFERRAL:
            raise DirectoryRefused(f"{what} was referred to another server, which is not followed")
        raise DirectoryRefused(f"{what} was refused: {said}")

    @contextmanager
    def _limited(self, seconds: float) -> Iterator[None]:
        """The library's failures, as ours."""
        if self._ldap.socket is None and self._clock.started:
            # The library would open it anew by itself, and send the password without StartTLS.
            raise ServerFailed("the connection was closed")
        self._clock.allow(seconds)
        try:
            yield
        except (LDAPExceptionError, OSError) as error:
            if self._clock.over:
                raise ServerSilent(f"no answer within {seconds:g} s") from error
            raise ServerFailed(_short(str(error))) from error
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # How the library's decoder fails at bytes that are no LDAP.
            raise ServerFailed("what the server answers is not LDAP") from error


class _Clock:
    """Until when, and for how many bytes, a connection may wait for one answer."""

    def __init__(self) -> None:
        self.started = False
        self._ends = 0.0
        self._received = 0

    def allow(self, seconds: float) -> None:
        self.started = True
        self._ends = time.monotonic() + seconds
        self._received = 0

    @property
    def over(self) -> bool:
        return time.monotonic() >= self._ends

    def left(self) -> float:
        """Raises TimeoutError."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def count(self, data: bytes) -> bytes:
        self._received += len(data)
        if self._received > _LONGEST_ANSWER:
            raise OSError(f"the answer is longer than {_LONGEST_ANSWER} bytes")
        return data


class _Clocked:
    """A socket on which all that is read and written together ends by the clock."""

    def __init__(self, inner: socket.socket, clock: _Clock) -> None:
        self.inner = inner
        self._clock = clock

    def recv(self, size: int) -> bytes:
        self.inner.settimeout(self._clock.left())
        return self._clock.count(self.inner.recv(size))

    def sendall(self, data: bytes) -> None:
        self.inner.settimeout(self._clock.left())
        self.inner.sendall(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def _entry(answer: Any) -> Entry:
    attributes = {name.lower(): tuple(values) for name, values in answer["raw_attributes"].items()}
    return Entry(answer["dn"], attributes)


def _short(said: str) -> str:
    """A text of others on one line and not too long."""
    return "".join(letter if letter.isprintable() else " " for letter in said).strip()[:_LONGEST_TEXT]
