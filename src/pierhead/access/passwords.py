"""Checks of passwords: a slow hash once, then a keyed digest in memory for a while.

Few hashes run at once, the queue before them is bounded, and requests with the same
credentials share one check: clients send many requests in parallel before the first is answered.
"""

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import blake2b

from pierhead.access.htpasswd import Account, Accounts, AccountsFile
from pierhead.access.principal import Principal
from pierhead.errors import TooManyRequests, Unauthenticated
from pierhead.settings import AccessSettings

LONGEST_PASSWORD = 4096  # bytes


class Passwords:
    def __init__(
        self, file: AccountsFile, settings: AccessSettings, observe: Callable[[bool], None] = lambda _: None
    ) -> None:
        self._file = file
        self._observe = observe
        self._settings = settings
        self._key = secrets.token_bytes(32)
        self._accounts = file.current()
        # MAC of an Authorization header -> until when it is good, and for whom.
        self._verified: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()
        self._checks: dict[bytes, asyncio.Future[bool]] = {}
        self._threads = ThreadPoolExecutor(settings.hash_concurrency, thread_name_prefix="pierhead-password")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def remembered(self, authorization: bytes) -> Principal | None:
        """Whom this header was verified for lately. Hot: no hashing beyond one MAC."""
        if self._file.current() is not self._accounts:
            self._forget()
        mac = self._mac(authorization)
        entry = self._verified.get(mac)
        if entry is None:
            return None
        if entry[0] < time.monotonic():
            del self._verified[mac]
            return None
        return entry[1]

    def _mac(self, authorization: bytes) -> bytes:
        """Keyed BLAKE2b (RFC 7693): a third of HMAC's time, on each request."""
        return blake2b(authorization, key=self._key, digest_size=32).digest()

    def check(self, authorization: bytes, name: str, password: bytes) -> Awaitable[Principal]:
        """Raises Unauthenticated, and TooManyRequests while too many checks wait."""
        if len(password) > LONGEST_PASSWORD:
            raise Unauthenticated("the password is too long")
        return self._check(self._mac(authorization), name, password)

    async def _check(self, mac: bytes, name: str, password: bytes) -> Principal:
        while True:
            accounts = self._accounts
            accepted = await asyncio.shield(self._shared_check(mac, accounts, name, password))
            if self._file.current() is not self._accounts:
                self._forget()
            # The file may have changed meanwhile: what was checked is then of no worth.
            if accounts is self._accounts:
                break
        self._observe(accepted)
        if not accepted:
            raise Unauthenticated("wrong name or password")
        principal = Principal(name, "basic")
        self._remember(mac, principal)
        return principal

    def _shared_check(self, mac: bytes, accounts: Accounts, name: str, password: bytes) -> asyncio.Future[bool]:
        running = self._checks.get(mac)
        if running is not None:
            return running
        if len(self._checks) >= self._settings.hash_concurrency + self._settings.hash_queue:
            raise TooManyRequests("too many passwords are being checked")
        account = accounts.by_name.get(name)
        work = partial(_accepts, account, accounts.decoy, password)
        check = asyncio.get_running_loop().run_in_executor(self._threads, work)
        self._checks[mac] = check
        check.add_done_callback(partial(self._done, mac))
        return check

    def _done(self, mac: bytes, check: asyncio.Future[bool]) -> None:
        if self._checks.get(mac) is check:
            del self._checks[mac]
        if not check.cancelled():
            check.exception()  # retrieved, so that nobody complains where every waiter has left

    def _remember(self, mac: bytes, principal: Principal) -> None:
        if self._settings.verified_seconds:
            self._verified[mac] = (time.monotonic() + self._settings.verified_seconds, principal)
            self._verified.move_to_end(mac)
            while len(self._verified) > self._settings.verified_entries:
                self._verified.popitem(last=False)

    def _forget(self) -> None:
        self._accounts = self._file.current()
        self._verified.clear()
        # Checks against the old file are not shared with requests that come from now on.
        self._checks.clear()


def _accepts(account: Account | None, decoy: Account | None, password: bytes) -> bool:
    if account is not None:
        return account.accepts(password)
    if decoy is not None:
        decoy.accepts(password)
    return False
