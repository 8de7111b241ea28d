"""Checks of passwords, in all sources: a slow hash once, few at a time, and never on the event loop.

A name is bound to the source where it signed in first, and no other source is asked for it. One that nobody knows yet
is looked for among local accounts, in the htpasswd file, and in the directories in the order of the settings: the first
that knows it decides. One that gives no answer is passed over.

Requests with the same credentials share one check: clients send many in parallel before the first is answered.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pierhead.access.backoff import Backoff
from pierhead.access.hashes import cost_of, kind_of
from pierhead.access.htpasswd import Account, Accounts, AccountsFile
from pierhead.access.principal import Principal
from pierhead.access.sources import Identity, PasswordSource, SourceUnavailable, WrongPassword
from pierhead.access.users import Users
from pierhead.access_settings import AccessSettings
from pierhead.errors import SignInUnavailable, TooManyRequests, Unauthenticated
from pierhead.metadata import sign_ins
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.sign_ins import User

LONGEST_PASSWORD = 4096  # bytes
LONGEST_NAME = 256  # characters
_CHECKS_MAX = 1000
# Checked, in vain, for a name that nobody knows, so that its refusal takes as long as that of a local account.
_DECOY = "$argon2id$v=19$m=65536,t=3,p=4$cGllcmhlYWQtZGVjb3ktMQ$Ce8cZpIbbmWdEhQ4qF5j9sLJYw1GZ9zNkMEjXQ3JqLA"

log = logging.getLogger(__name__)


class Passwords:
    def __init__(
        self,
        database: Database,
        users: Users,
        file: AccountsFile | None,
        *,
        directories: Iterable[PasswordSource],
        settings: AccessSettings,
        observe: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._database = database
        self._users = users
        self._file = file
        self._directories = tuple(directories)
        self._observe = observe
        self._settings = settings
        self._accounts = file.current() if file else Accounts({}, None)
        self._backoff = Backoff(failures=settings.wrong_passwords, longest=settings.longest_wait_seconds)
        self._checks: dict[bytes, asyncio.Task[Principal]] = {}
        self._hashing = 0
        self._threads = ThreadPoolExecutor(settings.hash_concurrency, thread_name_prefix="pierhead-password")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def changed(self) -> bool:
        """Whether the file has changed since this was asked last. Hot: looks once a second."""
        if self._file is None or self._file.current() is self._accounts:
            return False
        self._accounts = self._file.current()
        # Checks against the old file are not shared with requests that come from now on.
        self._checks.clear()
        return True

    async def check(self, mac: bytes, name: str, password: bytes, address: str) -> Principal:
        """Who has this name and password. `mac` stands for both: requests that share it share the check.

        Raises Unauthenticated, SignInUnavailable, and TooManyRequests while too many checks wait, or after too many
        wrong passwords.
        """
        if len(password) > LONGEST_PASSWORD:
            raise Unauthenticated("the password is too long")
        # No source has such a name, not every database takes it, and a name that is counted takes room.
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
            raise Unauthenticated("wrong name or password")
        self._backoff.require(name, address)
        self.changed()
        while True:
            accounts = self._accounts
            try:
                principal = await asyncio.shield(self._shared(mac, name, password, address))
            except Unauthenticated:
                if self._changed_since(accounts):
                    continue
                self._observe(False)
                raise
            # The file may have changed meanwhile: what was checked is then of no worth.
            if principal.source == "htpasswd" and self._changed_since(accounts):
                continue
            self._observe(True)
            self._backoff.right(name, address)
            return principal

    def _changed_since(self, accounts: Accounts) -> bool:
        self.changed()
        return accounts is not self._accounts

    def _shared(self, mac: bytes, name: str, password: bytes, address: str) -> "asyncio.Task[Principal]":
        running = self._checks.get(mac)
        if running is not None:
            return running
        if len(self._checks) >= _CHECKS_MAX:
            raise TooManyRequests("too many passwords are being checked")
        check = asyncio.ensure_future(self._try(name, password, address))
        self._checks[mac] = check
        check.add_done_callback(partial(self._done, mac))
        return check

    def _done(self, mac: bytes, check: "asyncio.Task[Principal]") -> None:
        if self._checks.get(mac) is check:
            del self._checks[mac]
        if not check.cancelled():
            check.exception()  # retrieved, so that nobody complains where every waiter has left

    async def _try(self, name: str, password: bytes, address: str) -> Principal:
        accounts = self._accounts
        with self._backoff.trying(name, address):
            try:
                return await self._verify(name, password)
            except Unauthenticated:
                if not self._changed_since(accounts):
                    self._backoff.wrong(name, address)
                raise

    async def _verify(self, name: str, password: bytes) -> Principal:
        user, has_hashes = await self._database.read(lambda tx: _find(tx, name))
        account = self._account(user, name)
        if account is not None and await self._accepts(account, password):
            if user is not None and user.source == "local":
                return Principal(name, "password", user.id, version=user.version, source="local")
            return await self._users.signed_in(Identity("htpasswd", name, name), version=account.version)
        identity = await self._by_directory(user, name, password) if account is None else None
        if identity is None:
            for decoy in self._decoys(account, has_hashes=has_hashes):
                await self._accepts(decoy, password)
            raise Unauthenticated("wrong name or password")
        return await self._users.signed_in(identity)

    def _account(self, user: User | None, name: str) -> Account | None:
        """Whose hash is to be checked, if it is known here."""
        if user is not None and user.source == "local":
            kind = kind_of(user.hashed or "")
            return Account(user.hashed, kind) if user.hashed and kind else None
        return self._accounts.by_name.get(name) if user is None or user.source == "htpasswd" else None

    def _decoys(self, checked: Account | None, *, has_hashes: bool) -> list[Account]:
        """What is hashed, in vain, before a refusal: each kind that accounts here have, but for the one that was."""
        kind, of_file = kind_of(_DECOY), self._accounts.decoy
        assert kind is not None  # noqa: S101  it is argon2
        found = [of_file] if of_file else []
        if has_hashes or not found:
            found.append(Account(_DECOY, kind))
        spent = cost_of(checked.hashed) if checked else None
        return [decoy for decoy in found if cost_of(decoy.hashed) != spent]

    async def _accepts(self, account: Account, password: bytes) -> bool:
        if self._hashing >= self._settings.hash_concurrency + self._settings.hash_queue:
            raise TooManyRequests("too many passwords are being checked")
        self._hashing += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, account.accepts, password)
        finally:
            self._hashing -= 1

    async def _by_directory(self, user: User | None, name: str, password: bytes) -> Identity | None:
        """None where no directory knows the name, or the one that does refuses the password."""
        silent = None
        for directory in self._directories:
            if user is not None and user.source != directory.name:
                continue
            try:
                identity = await directory.check(name, password)
            except WrongPassword:
                return None
            except SourceUnavailable as error:
                silent = directory.name
                log.warning("a sign-in source gives no answer", extra={"source": silent, "reason": str(error)})
                continue
            if identity is not None:
                return identity
        if silent is not None:
            raise SignInUnavailable(silent)
        return None


async def _find(tx: Transaction, name: str) -> tuple[User | None, bool]:
    """The user, and whether any has a password here."""
    return await sign_ins.find(tx, name), await sign_ins.has_hashes(tx)
