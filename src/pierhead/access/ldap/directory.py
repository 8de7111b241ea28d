"""A directory as a source of accounts: asked in threads of its own, a bounded number of sign-ins for a bounded time.

What a dead directory costs is its own threads and nobody else's: who would have to wait too long is told at once.
"""

# ruff: noqa: PLC0415 - the library takes a tenth of a second and 20 MB, which is of no use without a directory

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pierhead.access.ldap.failures import DirectoryRefused
from pierhead.access.sources import Identity, SourceUnavailable, WrongPassword
from pierhead.errors import ConfigurationError
from pierhead.source_settings import LdapSettings

if TYPE_CHECKING:
    from pierhead.access.ldap.lookup import Lookup, Person
    from pierhead.access.ldap.servers import Servers

logger = logging.getLogger("pierhead.access")
T = TypeVar("T")

_LONGEST_LOGIN = 256  # characters
_LONGEST_PASSWORD = 4096  # bytes
_LARGEST_FILE = 64 * 1024  # bytes, of a password


class LdapDirectory:
    """Implements PasswordSource."""

    def __init__(self, settings: LdapSettings) -> None:
        """Raises ConfigurationError where a file that the settings name is missing, or a filter is none."""
        self._settings = settings
        self._lookup, self._servers = prepare(settings)
        self._threads = ThreadPoolExecutor(settings.pool_size, thread_name_prefix=f"pierhead-ldap-{settings.name}")
        self._jobs: set[Future[Any]] = set()

    @property
    def name(self) -> str:
        return f"ldap:{self._settings.name}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._servers.close()

    async def check(self, name: str, password: bytes) -> Identity | None:
        """Raises WrongPassword, SourceUnavailable."""
        if not password or b"\0" in password or len(password) > _LONGEST_PASSWORD:
            raise WrongPassword(name)
        if not _is_login(name):
            return None
        identity = await self._in_thread(partial(self._sign_in, name, password))
        if identity is None and (took := tuple(self._lookup.took)):
            # Who measures cannot tell that the directory was not asked about a password.
            await asyncio.sleep(secrets.choice(took))
        return identity

    async def look_up(self, name: str, subject: str) -> Identity | None:
        """Who somebody is today, without a password: for what is held beside one. Under another name, if renamed.

        None where the directory answers, and knows no such person. Raises SourceUnavailable.
        """
        return await self._in_thread(partial(self._found, name, subject))

    async def _in_thread(self, work: Callable[[float], T]) -> T:
        settings = self._settings
        if len(self._jobs) >= settings.pool_size + settings.queue:
            raise SourceUnavailable(f"{self.name}: {len(self._jobs)} sign-ins wait for it already")
        job = self._threads.submit(work, time.monotonic() + settings.total_seconds)
        # It counts until its thread is done with it, also where nobody waits for it any more.
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        try:
            async with asyncio.timeout(settings.total_seconds):
                return await asyncio.wrap_future(job)
        except TimeoutError as error:
            raise SourceUnavailable(f"{self.name}: no answer within {settings.total_seconds:g} s") from error

    def _sign_in(self, login: str, password: bytes, ends: float) -> Identity | None:
        """Runs in a thread."""
        with self._told():
            person = self._lookup.person(login, ends)
            if person is None:
                return None
            if not self._lookup.accepts(person, password, ends):
                raise WrongPassword(person.name)
            return self._identity(person, ends)

    def _found(self, name: str, subject: str, ends: float) -> Identity | None:
        """Runs in a thread."""
        with self._told("somebody could not be looked up"):
            person = self._lookup.person(name, ends) if _is_login(name) else None
            if person is None or person.subject != subject:
                person = self._lookup.of_subject(subject, ends)
            return self._identity(person, ends) if person is not None else None

    def _identity(self, person: "Person", ends: float) -> Identity:
        groups = {group.name for group in self._lookup.groups(person, ends)}
        return Identity(
            self.name,
            person.name,
            person.subject,
            display=person.display,
            email=person.email,
            groups=tuple(sorted(groups)),
        )

    @contextmanager
    def _told(self, failed: str = "somebody could not sign in") -> Iterator[None]:
        try:
            yield
        except DirectoryRefused as error:
            logger.error("%s: %s: %s", self.name, failed, error)  # noqa: TRY400 - no fault of the program
            raise SourceUnavailable(f"{self.name}: {error}") from error


def _is_login(name: str) -> bool:
    return bool(name) and name.isprintable() and len(name) <= _LONGEST_LOGIN


def prepare(settings: LdapSettings) -> "tuple[Lookup, Servers]":
    """What asks the directory; connects nowhere yet. Raises ConfigurationError with all mistakes."""
    from pierhead.access.ldap.connection import is_filter, tls_context
    from pierhead.access.ldap.filters import filled
    from pierhead.access.ldap.lookup import Lookup
    from pierhead.access.ldap.servers import Servers

    mistakes = []
    for name in ("filter", "group_filter"):
        template = getattr(settings, name)
        if template and not is_filter(filled(template, login="x", dn="x", name="x")):
            mistakes.append(f"ldap.{settings.name}.{name} = {template!r}: is no filter that can be read (RFC 4515)")
    password, context = b"", None
    try:
        password = _password(settings)
    except ValueError as error:
        mistakes.append(f"ldap.{settings.name}.bind_password_file = {settings.bind_password_file}: {error}")
    try:
        context = tls_context(settings)
    except OSError as error:
        reason = error.strerror if isinstance(error, FileNotFoundError | PermissionError) else "holds no certificate"
        mistakes.append(f"ldap.{settings.name}.ca_certificate = {settings.ca_certificate}: {reason}")
    if mistakes or context is None:
        raise ConfigurationError(mistakes)
    servers = Servers(settings, context, password)
    return Lookup(settings, servers), servers


def _password(settings: LdapSettings) -> bytes:
    """Raises ValueError, whose text says what is wrong with the file."""
    if settings.bind_password is not None:
        return settings.bind_password.get_secret_value().encode("utf-8")
    if settings.bind_password_file is None:
        return b""
    try:
        with settings.bind_password_file.open("rb") as file:
            line = file.readline(_LARGEST_FILE).rstrip(b"\r\n")
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    if not line:
        raise ValueError("its first line is empty")
    return line
