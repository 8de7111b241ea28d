"""What a browser carries between leaving for an issuer and coming back: sealed, and good for a few minutes.

It holds the secrets of one attempt (`state`, `nonce`, the verifier of PKCE), so that no process has to remember it and
only the browser that began an attempt can end it.
"""

# ruff: noqa: PLC0415 - cryptography is imported by the first sign-in

import base64
import hashlib
import json
import re
import secrets
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Self

from pierhead.access.oidc.tokens import Refused

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

_EXPIRED = "this sign-in was begun too long ago, or in another browser; begin anew"
_LONGEST = 4096  # bytes: what browsers keep of one cookie
# A path of this registry: // and /\ would lead to another host.
_LOCAL = re.compile(r"/(?![/\\])[!-\[\]-~]{0,2047}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Attempt:
    source: str
    redirect_uri: str
    return_to: str
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)

    @classmethod
    def new(cls, source: str, redirect_uri: str, return_to: str) -> Self:
        return cls(source, redirect_uri, local_path(return_to), *(secrets.token_urlsafe(32) for _ in range(3)))

    @property
    def challenge(self) -> str:
        """S256 of RFC 7636."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()


def local_path(text: str) -> str:
    """Where to go after the sign-in; the front page, where that would lead away from here."""
    return text if _LOCAL.fullmatch(text) else "/"


class Seal:
    """The same `secret` seals and opens in every process; a browser can neither read nor change what it carries."""

    def __init__(self, secret: bytes, seconds: int) -> None:
        self._secret = secret
        self._seconds = seconds
        self._fernet: Fernet | None = None

    def close(self, attempt: Attempt) -> bytes:
        return self._cipher().encrypt(json.dumps(asdict(attempt)).encode())

    def open(self, sealed: bytes) -> Attempt:
        """Raises Refused."""
        from cryptography.fernet import InvalidToken

        if len(sealed) > _LONGEST:
            raise Refused(_EXPIRED)
        try:
            return Attempt(**json.loads(self._cipher().decrypt(sealed, ttl=self._seconds)))
        except InvalidToken as error:
            raise Refused(_EXPIRED) from error

    def _cipher(self) -> "Fernet":
        from cryptography.fernet import Fernet

        if self._fernet is None:
            # A key of its own: the secret has other uses.
            key = hashlib.blake2b(b"sign-in", key=self._secret, digest_size=32).digest()
            self._fernet = Fernet(base64.urlsafe_b64encode(key))
        return self._fernet
