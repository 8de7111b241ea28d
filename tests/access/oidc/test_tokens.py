"""Tokens of an issuer: which are genuine, and which only look so."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from pierhead.access.oidc import tokens
from pierhead.access.oidc.claims import Claims
from pierhead.access.oidc.tokens import Refused

ISSUER = "https://issuer.example.org"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SMALL_RSA = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - that it is too small is the point
EC = ec.generate_private_key(ec.SECP256R1())
OTHER_EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def published(kid: str, key: Any, **changed: Any) -> dict[str, Any]:
    kinds: dict[type, Any] = {rsa.RSAPrivateKey: RSAAlgorithm, ec.EllipticCurvePrivateKey: ECAlgorithm}
    algorithm = next((made for kind, made in kinds.items() if isinstance(key, kind)), OKPAlgorithm)
    entry: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key())) | {"kid": kid} | changed
    return {name: value for name, value in entry.items() if value is not None}


def document(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"keys": entries}).encode()


KEYS = tokens.keys(document(published("rsa", RSA), published("ec", EC), published("ed", ED)))


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    all_claims = {"iss": ISSUER, "aud": "pierhead", "sub": "somebody", "iat": now, "exp": now + 60} | changed
    return {name: value for name, value in all_claims.items() if value is not None}


def signed(key: Any = EC, algorithm: str = "ES256", kid: str | None = "ec", **changed: Any) -> str:
    return jwt.encode(claims(**changed), key, algorithm, {"kid": kid} if kid else None)


def encoded(header: dict[str, Any], payload: dict[str, Any], signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(payload).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def verified(token: str) -> Claims:
    wanted = tokens.look(token, max_bytes=16384)
    key = tokens.choose(KEYS, wanted)
    if key is None:
        raise Refused("no key")
    return tokens.verify(
        token, key, algorithm=wanted.algorithm, issuer=ISSUER, audiences=["pierhead", "other"], leeway=5
    )


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"),
    [(RSA, "RS256", "rsa"), (RSA, "PS512", "rsa"), (EC, "ES256", "ec"), (ED, "EdDSA", "ed"), (EC, "ES256", None)],
)
def test_a_genuine_token_says_who_it_is(key: Any, algorithm: str, kid: str | None) -> None:
    assert verified(signed(key, algorithm, kid))["sub"] == "somebody"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"aud": "someone"}, "aud"),
        ({"aud": ["someone", "someone else"]}, "aud"),
        ({"aud": {"pierhead": 1}}, "aud"),
        ({"aud": None}, "lacks"),
        ({"iss": "https://evil.example"}, "issuer"),
        ({"iss": ISSUER + "/"}, "issuer"),
        ({"exp": None}, "lacks"),
        ({"exp": 1}, "expired"),
        ({"exp": int(time.time()) - 6}, "expired"),
        ({"exp": "tomorrow"}, "malformed"),
        ({"exp": str(int(time.time()) + 60)}, "no number"),
        ({"exp": float("inf")}, "malformed"),
        ({"exp": 10**400}, "no number"),
        ({"nbf": int(time.time()) + 600}, "clocks"),
        ({"iat": int(time.time()) + 600}, "clocks"),
        ({"iat": None}, "lacks"),
        ({"sub": None}, "lacks"),
        ({"sub": ""}, "nobody"),
        ({"sub": 7}, "malformed"),
    ],
)
def test_a_token_that_does_not_hold_is_refused_with_the_reason(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        verified(signed(**changed))


def test_clocks_may_lie_apart_a_little() -> None:
    assert verified(signed(exp=int(time.time()) - 2, nbf=int(time.time()) + 3))


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "", None, 7, "HS256", "ES256K"])
def test_an_algorithm_that_is_not_on_the_list_is_refused(algorithm: object) -> None:
    with pytest.raises(Refused):
        verified(encoded({"alg": algorithm, "kid": "ec"}, claims(), b"x"))


@pytest.mark.parametrize("encoding", [serialization.Encoding.PEM, serialization.Encoding.DER])
@pytest.mark.parametrize("kid", ["rsa", "ec"])
def test_a_public_key_is_no_secret_to_sign_with(encoding: serialization.Encoding, kid: str) -> None:
    public = (RSA if kid == "rsa" else EC).public_key()
    secret = public.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    head = encoded({"alg": "HS256", "kid": kid}, claims()).rpartition(".")[0]
    signature = hmac.digest(secret, head.encode(), hashlib.sha256)
    token = head + "." + base64.urlsafe_b64encode(signature).rstrip(b"=").decode()

    with pytest.raises(Refused, match="asymmetric"):
        verified(token)
    with pytest.raises(Refused):
        tokens.verify(token, KEYS[0], algorithm="HS256", issuer=ISSUER, audiences=["pierhead"], leeway=0)


def test_a_signature_of_another_key_is_refused() -> None:
    with pytest.raises(Refused, match="signature"):
        verified(signed(OTHER_EC))


def test_a_signature_of_nothing_is_refused() -> None:
    with pytest.raises(Refused, match="signature"):
        verified(signed().rpartition(".")[0] + ".")


def test_a_token_that_was_changed_is_refused() -> None:
    head, _, signature = signed().split(".")
    payload = encoded({}, claims(sub="somebody else")).split(".")[1]

    with pytest.raises(Refused, match="signature"):
        verified(f"{head}.{payload}.{signature}")


def test_the_id_of_one_key_does_not_lead_to_another() -> None:
    with pytest.raises(Refused):
        verified(signed(RSA, "RS256", "ec"))


@pytest.mark.parametrize("kid", ["unknown", "../../etc/passwd", "' OR 1=1 --", "ec\x00", "EC"])
def test_an_unknown_id_of_a_key_leads_to_none(kid: str) -> None:
    with pytest.raises(Refused, match="no key"):
        verified(signed(kid=kid))


def test_a_token_without_an_id_of_a_key_needs_the_only_one_there_is() -> None:
    two = tokens.keys(document(published("a", EC), published("b", OTHER_EC)))

    assert tokens.choose(two, tokens.look(signed(kid=None), max_bytes=16384)) is None


@pytest.mark.parametrize("header", [{"kid": 7}, {"kid": ["ec"]}, {"b64": False}])
def test_a_header_that_is_malformed_is_refused(header: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        verified(encoded({"alg": "ES256", "kid": "ec"} | header, claims(), b"x"))


def test_a_genuine_token_with_a_header_that_must_be_understood_is_refused() -> None:
    token = jwt.encode(claims(), EC, "ES256", {"kid": "ec", "crit": ["later"], "later": 1})

    with pytest.raises(Refused, match="malformed"):
        verified(token)


def test_a_key_that_a_token_brings_along_is_not_looked_at() -> None:
    brought = published("mine", OTHER_EC)
    token = jwt.encode(claims(), OTHER_EC, "ES256", {"kid": "mine", "jwk": brought, "jku": "https://evil.example"})

    with pytest.raises(Refused, match="no key"):
        verified(token)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "phd_pat_1_secret",
        "eyJ",
        "eyJ.e.",
        "a.b.c",
        "eyJhbGciOiJub25lIn0.e30",
        " " + signed(),
        signed() + "\n",
        signed() + ".x",
        signed().replace(".", ".é", 1),
        "eyJ" + "x" * 20000 + ".e30.x",
        encoded({"alg": "ES256"}, claims(x="y" * 20000)),
        base64.urlsafe_b64encode(b'{"a":' + b"[" * 6000).decode().rstrip("=") + ".e30.x",
        "eyJhbGciOiJFUzI1NiJ9." + base64.urlsafe_b64encode(b"[" * 6000).decode().rstrip("=") + ".x",
        "eyJhbGciOiJFUzI1NiJ9.W10.x",
    ],
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        verified(text)


def test_a_token_is_told_from_a_password_by_its_shape() -> None:
    assert tokens.is_token(signed().encode())
    assert not tokens.is_token(b"correct horse battery staple")
    assert not tokens.is_token(b"phd_pat_x.y.z")


@pytest.mark.parametrize(
    "entry",
    [
        published("small", SMALL_RSA),
        published("for encryption", EC, use="enc"),
        published("for derivation", EC, key_ops=["deriveKey"]),
        published("of another algorithm", RSA, alg="RSA-OAEP"),
        published("of no algorithm", RSA, alg=["RS256"]),
        published("of a curve that is not its own", EC, crv="P-384"),
        published("on no curve", EC, x="AAAA", y="AAAA"),
        {**json.loads(ECAlgorithm.to_jwk(EC)), "kid": "with its private half"},
        {"kid": "secret", "kty": "oct", "k": "c2VjcmV0"},
        {"kid": "nothing"},
        {"kid": "typed wrongly", "kty": ["EC"], "crv": {"P-256": 1}},
        {"kid": "incomplete", "kty": "RSA", "e": "AQAB"},
        {"kid": "incomplete", "kty": "RSA", "e": "AQAB", "n": 7},
    ],
    ids=lambda entry: entry["kid"],
)
def test_a_key_that_cannot_verify_is_left_out_and_the_others_stay(entry: dict[str, Any]) -> None:
    assert [key.id for key in tokens.keys(document(entry, published("good", EC)))] == ["good"]


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b"{}", b'{"keys": {}}', b"[" * 100_000, b"\xff", document(*[published("x", EC)] * 101)],
)
def test_what_is_no_set_of_keys_is_told_as_such(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"must be a list|is no JSON Web Key Set"):
        tokens.keys(content)


def test_a_key_for_one_algorithm_verifies_no_other() -> None:
    (key,) = tokens.keys(document(published("rsa", RSA, alg="RS256")))

    assert tokens.choose([key], tokens.look(signed(RSA, "RS512", "rsa"), max_bytes=16384)) is None


def test_neither_keys_nor_refusals_repeat_what_came() -> None:
    secret = "eyJzZWNyZXQ"
    with pytest.raises(Refused) as caught:
        tokens.look(f"{secret}.{secret}.{secret}", max_bytes=16384)

    assert secret not in str(caught.value)
    assert "Key" in repr(KEYS[0])
    assert "object at" not in repr(KEYS[0])
