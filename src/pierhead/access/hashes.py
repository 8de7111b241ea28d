"""Password hashes as htpasswd, openssl and their like write them.

Each kind has a pattern that a well-formed hash matches, and a check of a password against it.
Slow: callers run a check in a thread. The libraries are imported by the first check that needs them.
"""

# ruff: noqa: PLC0415

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass

# bcrypt reads 72 bytes and no more; htpasswd cuts silently, the library raises.
BCRYPT_LIMIT = 72


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    pattern: re.Pattern[str]
    check: Callable[[bytes, str], bool]


def _bcrypt(password: bytes, hashed: str) -> bool:
    import bcrypt

    return bcrypt.checkpw(password[:BCRYPT_LIMIT], hashed.encode("ascii"))


def _apr1(password: bytes, hashed: str) -> bool:
    from passlib.hash import apr_md5_crypt

    return bool(apr_md5_crypt.verify(password, hashed))


def _sha1(password: bytes, hashed: str) -> bool:
    # What `htpasswd -s` writes; unsalted, and read for the files that exist.
    digest = hashlib.sha1(password, usedforsecurity=False).digest()
    return hmac.compare_digest(digest, base64.b64decode(hashed.removeprefix("{SHA}")))


def _sha256_crypt(password: bytes, hashed: str) -> bool:
    from passlib.hash import sha256_crypt

    return bool(sha256_crypt.verify(password, hashed))


def _sha512_crypt(password: bytes, hashed: str) -> bool:
    from passlib.hash import sha512_crypt

    return bool(sha512_crypt.verify(password, hashed))


def _argon2(password: bytes, hashed: str) -> bool:
    from argon2 import PasswordHasher
    from argon2.exceptions import Argon2Error, InvalidHashError

    try:
        return PasswordHasher().verify(hashed, password)
    except (Argon2Error, InvalidHashError):
        return False


_COST = re.compile(r"\$2.\$\d\d|\$argon2\w+\$v=\d+\$[^$]+|\$[56]\$(?:rounds=\d+)?|\$apr1|\{SHA\}")
_ROUNDS_AND_SALT = r"(?:rounds=[1-9]\d{3,8}\$)?[./A-Za-z0-9]{0,16}"
_ARGON2 = r"\$argon2(?:id|i|d)\$v=\d+\$m=\d{1,8},t=\d{1,5},p=\d{1,3}\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,}"

KINDS = (
    Kind("bcrypt", re.compile(r"\$2[aby]\$(?:0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}"), _bcrypt),
    Kind("apr1", re.compile(r"\$apr1\$[./A-Za-z0-9]{1,8}\$[./A-Za-z0-9]{22}"), _apr1),
    Kind("SHA-1", re.compile(r"\{SHA\}[A-Za-z0-9+/]{27}="), _sha1),
    Kind("SHA-256", re.compile(rf"\$5\${_ROUNDS_AND_SALT}\$[./A-Za-z0-9]{{43}}"), _sha256_crypt),
    Kind("SHA-512", re.compile(rf"\$6\${_ROUNDS_AND_SALT}\$[./A-Za-z0-9]{{86}}"), _sha512_crypt),
    Kind("argon2", re.compile(_ARGON2), _argon2),
)


def kind_of(hashed: str) -> Kind | None:
    return next((kind for kind in KINDS if kind.pattern.fullmatch(hashed)), None)


def cost_of(hashed: str) -> str:
    """Kind and parameters without salt and digest: equal costs take equal time."""
    matched = _COST.match(hashed)
    return matched[0] if matched else ""
