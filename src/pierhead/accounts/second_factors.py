"""The second factor of users for the pages: codes that an app on the phone shows (RFC 6238), and codes on paper.

A code is good once, and within half a minute before and after its own. Whoever asks bounds how often that may be tried.
"""

# ruff: noqa: PLC0415

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from functools import partial
from hmac import compare_digest

from pierhead.accounts import finding
from pierhead.accounts.by import By
from pierhead.accounts.holding import require_no_less
from pierhead.errors import AlreadyThere, PrincipalUnknown, Unauthenticated
from pierhead.metadata import clock
from pierhead.metadata import second_factors as rows
from pierhead.metadata.database import Database, Transaction

_STEP_SECONDS = 30
_SECRET_BYTES = 20  # RFC 4226, section 4
_CODES = 10
_CODE_BYTES = 10  # 16 digits of base 32
_CODE_LENGTH = 6
_ISSUER = "Pierhead"


@dataclass(frozen=True, slots=True)
class Begun:
    """What the app is told, once: the secret in base 32, and all that it needs as a URI, for a picture."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


class SecondFactors:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, name: str) -> Begun:
        """A new secret, which counts once a code of it was shown to `prove`.

        Raises AlreadyThere where one counts already: it is removed first. Raises PrincipalUnknown.
        """
        from pyotp import TOTP

        secret = secrets.token_bytes(_SECRET_BYTES)

        async def begin(tx: Transaction) -> None:
            user = await finding.find(tx, name, "user")
            if not await rows.begin(tx, user.id, secret):
                raise AlreadyThere(f"{name} has a second factor")

        await self._database.write(begin)
        text = base64.b32encode(secret).decode()
        return Begun(text, TOTP(text).provisioning_uri(name=name, issuer_name=_ISSUER))

    async def prove(self, name: str, code: str, *, by: By) -> list[str]:
        """From now on it counts. Returns codes for whoever loses it, which are shown once and never again.

        Raises Unauthenticated for a wrong code, AlreadyThere, PrincipalUnknown, GivesTooMuch.
        """
        codes = [_draw() for _ in range(_CODES)]

        async def prove(tx: Transaction) -> None:
            user = await finding.find(tx, name, "user")
            await require_no_less(tx, user, by)
            factor = await rows.find(tx, user.id)
            if factor is None:
                raise PrincipalUnknown(f"{name} has not begun to add a second factor")
            if factor.proven:
                raise AlreadyThere(f"{name} has a second factor")
            await _take(tx, user.id, factor.secret, code)
            await rows.prove(tx, user.id)
            await rows.put_codes(tx, user.id, map(_hashed, codes))
            await finding.record(tx, "second-factor-added", user, by)

        await self._database.write(prove)
        return codes

    async def is_on(self, principal_id: int) -> bool:
        factor = await self._database.read(partial(rows.find, principal_id=principal_id))
        return factor is not None and factor.proven

    async def check(self, principal_id: int, code: str) -> None:
        """A code of the app, or one of those on paper. Raises Unauthenticated."""

        async def check(tx: Transaction) -> None:
            factor = await rows.find(tx, principal_id)
            if factor is None or not factor.proven:
                raise Unauthenticated("there is no second factor")
            if len(_plain(code)) == _CODE_LENGTH:
                await _take(tx, principal_id, factor.secret, code)
            elif not await rows.use_code(tx, principal_id, _hashed(code)):
                raise Unauthenticated("this code is wrong, or was used")

        await self._database.write(check)

    async def renew_codes(self, name: str, *, by: By) -> list[str]:
        """New codes in place of the ones before. Raises PrincipalUnknown, GivesTooMuch."""
        codes = [_draw() for _ in range(_CODES)]

        async def renew(tx: Transaction) -> None:
            user = await finding.find(tx, name, "user")
            await require_no_less(tx, user, by)
            if not user.has_second_factor:
                raise PrincipalUnknown(f"{name} has no second factor")
            await rows.put_codes(tx, user.id, map(_hashed, codes))
            await finding.record(tx, "recovery-codes-renewed", user, by)

        await self._database.write(renew)
        return codes

    async def codes_left(self, principal_id: int) -> int:
        return await self._database.read(partial(rows.count_codes, principal_id=principal_id))


async def _take(tx: Transaction, principal_id: int, secret: bytes, code: str) -> None:
    """Raises Unauthenticated for a code that is not of now, or was taken."""
    from pyotp import TOTP

    totp = TOTP(base64.b32encode(secret).decode())
    now = await clock.read(tx) // 1_000_000 // _STEP_SECONDS
    told = _plain(code).encode()
    steps = [step for step in (now - 1, now, now + 1) if compare_digest(totp.generate_otp(step).encode(), told)]
    if not steps or not await rows.use(tx, principal_id, steps[0]):
        raise Unauthenticated("this code is wrong, or was used")


def _draw() -> str:
    text = base64.b32encode(secrets.token_bytes(_CODE_BYTES)).decode().lower()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def _plain(code: str) -> str:
    return code.strip().replace(" ", "").replace("-", "").lower()


def _hashed(code: str) -> str:
    """80 random bits: nobody guesses them from that."""
    return hashlib.sha256(_plain(code).encode()).hexdigest()
