"""JSON Web Tokens of an issuer: bytes and its keys in, claims or a refusal out. Nothing here asks anybody.

The algorithm is never the token's choice alone: it must be one of a fixed list, all of them asymmetric, and one that
the issuer's key of that id is for. So `none`, and HS256 with a public key as its secret, are refused before anything
is computed. Keys that a token brings along (`jwk`, `jku`, `x5u`) are not looked at.
"""

# ruff: noqa: PLC0415 - jwt and cryptography are imported by the first token

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from pierhead.access.oidc.claims import Claims

ALGORITHMS = {
    "RSA": frozenset(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
    "P-256": frozenset(("ES256",)),
    "P-384": frozenset(("ES384",)),
    "P-521": frozenset(("ES512",)),
    "Ed25519": frozenset(("EdDSA",)),
}
_KEYS_MAX = 100
_RSA_BITS = range(2048, 8193)  # weaker ones are guessed, longer ones cost a check too much
_LATEST = 1 << 53  # seconds since 1970: beyond it numbers are no moments any more
_SHAPE = re.compile(rb"eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


class Refused(Exception):
    """This does not sign anybody in; the text says why, to whoever tried."""


@dataclass(frozen=True, slots=True)
class Key:
    id: str
    algorithms: frozenset[str]
    public: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Unverified:
    """What a token says of itself: good for finding out how to verify it, and for nothing else."""

    issuer: str
    algorithm: str
    key: str  # its id; empty: the token names none


def is_token(password: bytes) -> bool:
    """Whether it has the shape of one, so that it may stand where a password stands."""
    return _SHAPE.fullmatch(password) is not None


def keys(document: bytes) -> tuple[Key, ...]:
    """Those of a JSON Web Key Set that verify signatures; others are left out. Raises ValueError."""
    try:
        entries = json.loads(document)["keys"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise ValueError("is no JSON Web Key Set") from error
    if not isinstance(entries, list) or len(entries) > _KEYS_MAX:
        raise ValueError(f"must be a list of at most {_KEYS_MAX} keys")
    return tuple(key for entry in entries if isinstance(entry, dict) and (key := _key(entry)))


def _key(entry: dict[str, Any]) -> Key | None:
    from jwt import PyJWK
    from jwt.exceptions import PyJWTError

    algorithms = ALGORITHMS.get(str(entry.get("crv") or entry.get("kty")), frozenset())
    if "alg" in entry:
        algorithms &= {entry["alg"]} if isinstance(entry["alg"], str) else frozenset()
    operations = entry.get("key_ops", ["verify"])
    # Some issuers publish the public half of a key with the operations of the private one.
    signs = isinstance(operations, list) and ("verify" in operations or "sign" in operations)
    verifies = entry.get("use", "sig") == "sig" and signs
    # Who publishes the private half has no key any more.
    if not algorithms or not verifies or "d" in entry:
        return None
    try:
        public = PyJWK(entry, algorithm=min(algorithms)).key
    except (PyJWTError, ValueError, TypeError):
        return None
    if entry.get("kty") == "RSA" and public.key_size not in _RSA_BITS:
        return None
    return Key(str(entry.get("kid", "")), algorithms, public)


def look(token: str, *, max_bytes: int) -> Unverified:
    """Raises Refused where it is no token, or one that no issuer here could have made."""
    import jwt

    if len(token) > max_bytes or not (token.isascii() and is_token(token.encode("ascii"))):
        raise Refused("this is no JSON Web Token, or one that is too long (setting issuers.max_token_bytes)")
    try:
        parts = jwt.api_jwt.decode_complete(token, options={"verify_signature": False})
    except jwt.PyJWTError as error:
        raise Refused("the token is malformed") from error
    header, issuer = parts["header"], parts["payload"].get("iss")
    algorithm, key = header.get("alg"), header.get("kid", "")
    if not isinstance(algorithm, str) or not any(algorithm in known for known in ALGORITHMS.values()):
        raise Refused("the token is not signed with an asymmetric algorithm that is known here")
    if not isinstance(key, str) or not isinstance(issuer, str):
        raise Refused("the token's header or its issuer is not understood")
    return Unverified(issuer, algorithm, key)


def choose(known: Collection[Key], wanted: Unverified) -> Key | None:
    """The key that must have signed it: the one of its id, or the only one, where the token names none."""
    fitting = [key for key in known if wanted.algorithm in key.algorithms]
    if not wanted.key:
        return fitting[0] if len(fitting) == 1 else None
    return next((key for key in fitting if key.id == wanted.key), None)


def verify(token: str, key: Key, *, algorithm: str, issuer: str, audiences: Collection[str], leeway: float) -> Claims:
    """The claims of a token that is genuine, of this issuer, for one of these audiences, and valid now.

    Raises Refused.
    """
    import jwt

    if algorithm not in key.algorithms:
        raise Refused("the token's algorithm is not that of its key")
    try:
        claims: Claims = jwt.decode(
            token,
            key.public,
            algorithms=[algorithm],
            issuer=issuer,
            audience=list(audiences),
            leeway=leeway,
            options={"require": ["iss", "aud", "exp", "iat", "sub"]},
        )
    except jwt.PyJWTError as error:
        raise Refused(_reason(error)) from error
    if not claims["sub"] or not isinstance(claims["exp"], int | float) or claims["exp"] > _LATEST:
        raise Refused("the token names nobody (sub), or its end is no number (exp)")
    return claims


def _reason(error: Exception) -> str:
    """What was wrong, without a word of the token itself."""
    import jwt

    known = {
        jwt.MissingRequiredClaimError: "the token lacks one of iss, aud, exp, iat and sub",
        jwt.ExpiredSignatureError: "the token has expired",
        jwt.ImmatureSignatureError: "the token is not valid yet; compare the clocks",
        jwt.InvalidAudienceError: "the token is meant for somebody else (aud)",
        jwt.InvalidIssuerError: "the token is of another issuer",
        jwt.InvalidSignatureError: "the token's signature is not its issuer's",
    }
    return next((text for kind, text in known.items() if isinstance(error, kind)), "the token is malformed")
