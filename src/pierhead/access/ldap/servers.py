"""The servers of one directory: which one is asked, by which connection, and how long a dead one is left alone."""

import logging
import ssl
import threading
import time
from collections.abc import Callable
from typing import Literal, TypeVar

from pierhead.access.ldap.connection import Connection
from pierhead.access.ldap.failures import DirectoryRefused, ServerFailed, ServerSilent
from pierhead.access.sources import SourceUnavailable
from pierhead.source_settings import LdapSettings

logger = logging.getLogger("pierhead.access")
T = TypeVar("T")

# On one connection people are looked up, by the account of the settings; on another their passwords are tried.
Purpose = Literal["lookup", "passwords"]


class Servers:
    def __init__(self, settings: LdapSettings, context: ssl.SSLContext, password: bytes) -> None:
        """Connects nowhere yet. The password is that of the account that looks people up."""
        self._settings = settings
        self.each = [Server(url, settings, context, password) for url in settings.url]

    def ask(self, purpose: Purpose, work: Callable[[Connection], T], ends: float) -> T:
        """What the first server that answers says. Raises DirectoryRefused, SourceUnavailable."""
        troubles = []
        for server in self.each:
            if time.monotonic() >= ends:
                troubles.append(f"no more time (total_seconds = {self._settings.total_seconds:g})")
                break
            if not server.takes_a_turn():
                troubles.append(f"{server.url} is left alone for a while: {server.trouble}")
                continue
            try:
                answer = server.ask(purpose, work)
            except ServerFailed as error:
                server.failed(str(error))
                troubles.append(f"{server.url}: {error}")
            except DirectoryRefused:
                server.answered()
                raise
            else:
                server.answered()
                return answer
        raise SourceUnavailable(f"ldap:{self._settings.name}: {'; '.join(troubles)}")

    def close(self) -> None:
        for server in self.each:
            server.drop()


class Server:
    """One of them, with its unused connections. Used by several threads at once."""

    def __init__(self, url: str, settings: LdapSettings, context: ssl.SSLContext, password: bytes) -> None:
        self.url = url
        self.trouble = ""
        self._settings = settings
        self._context = context
        self._password = password
        self._lock = threading.Lock()
        self._left_alone_until = 0.0
        # Each with the time at which it was used last; the one used last is used next.
        self._unused: dict[Purpose, list[tuple[float, Connection]]] = {"lookup": [], "passwords": []}

    def takes_a_turn(self) -> bool:
        """Once a dead server's time is over, one caller tries it; the others go on without it until that one knows."""
        with self._lock:
            now = time.monotonic()
            if now < self._left_alone_until:
                return False
            if self._left_alone_until:
                self._left_alone_until = now + self._settings.connect_seconds + self._settings.operation_seconds
            return True

    def failed(self, trouble: str) -> None:
        logger.warning("ldap:%s: %s failed: %s", self._settings.name, self.url, trouble)
        with self._lock:
            self.trouble = trouble
            self._left_alone_until = time.monotonic() + self._settings.retry_seconds
        self.drop()

    def answered(self) -> None:
        if not self.trouble:
            return
        with self._lock:
            self.trouble = ""
            self._left_alone_until = 0.0
        logger.info("ldap:%s: %s answers again", self._settings.name, self.url)

    def ask(self, purpose: Purpose, work: Callable[[Connection], T]) -> T:
        """Raises ServerFailed, DirectoryRefused."""
        unused = self._take(purpose)
        if unused is not None:
            try:
                return self._use(unused, purpose, work)
            except ServerSilent:
                raise
            except ServerFailed:
                # Closed by the server while nobody used it: a new one tells whether that was all.
                self.drop()
        return self._use(self.connect(purpose), purpose, work)

    def connect(self, purpose: Purpose) -> Connection:
        """Raises ServerFailed, also where the account that looks people up is refused."""
        connection = Connection(self.url, self._settings, self._context)
        dn = self._settings.bind_dn
        if purpose == "passwords" or dn is None:
            return connection
        accepted = False
        try:
            accepted = connection.bind(dn, self._password)
        except DirectoryRefused as error:
            raise ServerFailed(str(error)) from error
        finally:
            if not accepted:
                connection.close()
        if not accepted:
            # Failed, not refused: tried again at each sign-in, that account would be locked soon.
            raise ServerFailed(f"the password of {dn} is refused (bind_dn)")
        return connection

    def drop(self) -> None:
        """Closes what is unused."""
        with self._lock:
            dropped = [connection for kept in self._unused.values() for _, connection in kept]
            for kept in self._unused.values():
                kept.clear()
        for connection in dropped:
            connection.close()

    def _use(self, connection: Connection, purpose: Purpose, work: Callable[[Connection], T]) -> T:
        try:
            answer = work(connection)
        except DirectoryRefused:
            self._keep(connection, purpose)
            raise
        except BaseException:
            connection.close()
            raise
        self._keep(connection, purpose)
        return answer

    def _take(self, purpose: Purpose) -> Connection | None:
        oldest = time.monotonic() - self._settings.idle_seconds
        with self._lock:
            kept = self._unused[purpose]
            aged = [connection for used, connection in kept if used < oldest]
            kept[:] = [(used, connection) for used, connection in kept if used >= oldest]
            taken = kept.pop()[1] if kept else None
        for connection in aged:
            connection.close()
        return taken

    def _keep(self, connection: Connection, purpose: Purpose) -> None:
        with self._lock:
            full = len(self._unused[purpose]) >= self._settings.pool_size
            if self._settings.idle_seconds and not full:
                self._unused[purpose].append((time.monotonic(), connection))
                return
        connection.close()
