"""Bearer tokens: which are taken, and what they open."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pierhead.access.bearer import LONGEST, BearerBounds, Bearers, Opened
from pierhead.access.principal import ANONYMOUS, Principal
from pierhead.access.rights import TokenBounds
from pierhead.access_settings import TokenSettings
from pierhead.accounts.by import By
from pierhead.accounts.signing_keys import Key, SigningKeys
from pierhead.errors import ScopeInvalid, TokenInvalid
from pierhead.metadata.database import Database
from pierhead.models import Actor, RepositoryName
from pierhead.models import Place as Where
from pierhead.patterns import Pattern
from pierhead.verbs import ACTIONS, ALL, NONE, Verb
from tests.accounts.ageing import DAY, HOUR, age
from tests.contracts.database import Place

pytestmark = pytest.mark.anyio

SETTINGS = TokenSettings()
ANN = Principal("ann", "password", 7, version=3, source="local")
APP = RepositoryName("team/app")
OPENED = [Opened(APP, frozenset({"pull", "push"}), 5)]
HERE = Where(APP, 5, 50, since=1)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def database(place: Place) -> AsyncIterator[Database]:
    async with place.open() as database:
        yield database


@pytest.fixture
async def other(place: Place) -> AsyncIterator[Database]:
    async with place.open() as database:
        yield database


@pytest.fixture
async def sqlite(at_sqlite: str) -> AsyncIterator[Database]:
    async with Place("sqlite", at_sqlite).open() as database:
        yield database


@pytest.fixture
def bearers(sqlite: Database) -> Bearers:
    return node(sqlite)


@pytest.fixture
async def key(bearers: Bearers) -> Key:
    return await bearers._keys.signing()


def node(database: Database, **changed: Any) -> Bearers:
    return Bearers(SigningKeys(database, days=30), SETTINGS.model_copy(update=changed))


async def mint(bearers: Bearers, principal: Principal = ANN, *, catalog: bool = False) -> bytes:
    return (await bearers.mint(principal, OPENED, catalog=catalog)).token.encode()


async def bounds(bearers: Bearers, token: bytes) -> BearerBounds:
    narrowed = (await bearers.read(token)).narrowed
    assert isinstance(narrowed, BearerBounds)
    return narrowed


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    made = {"iss": "pierhead", "aud": "pierhead", "sub": "ann", "iat": now, "nbf": now, "exp": now + 60, "jti": "x",
            "who": {"id": 7}, "access": []}  # fmt: skip
    return {name: value for name, value in {**made, **changed}.items() if value is not None}


def signed(key: Key, payload: dict[str, Any] | None = None, **header: Any) -> bytes:
    text = jwt.encode(payload or claims(), key.private, algorithm="EdDSA", headers={"kid": key.kid, **header})
    return text.encode()


def encoded(content: object) -> bytes:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def by_hand(key: Key, header: object, payload: object) -> bytes:
    """Truly signed, with a header that no library would write."""
    head = encoded(header) + b"." + encoded(payload)
    return head + b"." + encoded(key.private.sign(head))


async def refused(bearers: Bearers, token: bytes) -> None:
    with pytest.raises(TokenInvalid):
        await bearers.read(token)
    assert bearers.remembered(token) is None


# What a token says


async def test_a_token_says_who_it_is_and_what_he_proved(bearers: Bearers) -> None:
    for principal in (
        ANN,
        replace(ANN, version=None, token=12),
        Principal("ci", "oidc", rule="main", source="oidc:gh"),
    ):
        found = await bearers.read(await mint(bearers, principal))

        assert found == replace(principal, credential="bearer", narrowed=found.narrowed)


async def test_a_token_of_nobody_is_of_nobody(bearers: Bearers) -> None:
    found = await bearers.read(await mint(bearers, ANONYMOUS))

    assert (found.name, found.id, found.token, found.rule) == ("anonymous", None, None, None)


async def test_a_token_has_the_claims_that_other_registries_read(bearers: Bearers, key: Key) -> None:
    minted = await bearers.mint(ANN, OPENED, catalog=True)

    header = jwt.get_unverified_header(minted.token)
    told = jwt.decode(minted.token, key.public, algorithms=["EdDSA"], audience="pierhead", issuer="pierhead")
    assert header == {"alg": "EdDSA", "kid": key.kid, "typ": "JWT"}
    assert told["access"] == [
        {"type": "repository", "name": "team/app", "actions": ["pull", "push"], "project": 5},
        {"type": "registry", "name": "catalog", "actions": ["*"]},
    ]
    assert (told["sub"], told["exp"] - told["iat"], told["nbf"]) == ("ann", 900, told["iat"])
    assert len(told["jti"]) >= 20
    assert minted.token not in repr(minted)


async def test_a_version_is_in_no_token_that_can_be_read(bearers: Bearers) -> None:
    tokens = [await mint(bearers) for _ in range(3)]

    shown = [jwt.decode(token, options={"verify_signature": False})["who"]["version"] for token in tokens]

    assert len({*shown, ANN.version}) == 4
    assert [(await bearers.read(token)).version for token in tokens] == [ANN.version] * 3


# What it opens


async def test_a_token_opens_what_was_asked_and_nothing_else(bearers: Bearers) -> None:
    narrowed = await bounds(bearers, await mint(bearers))

    assert narrowed.at(APP, HERE) == ACTIONS["pull"] | ACTIONS["push"]
    assert Verb.DELETE_TAG not in narrowed.at(APP, HERE)
    assert narrowed.at("team/other", HERE) == NONE
    assert narrowed.at("", Where(RepositoryName())) == NONE
    assert narrowed.within == ()


async def test_a_token_does_not_open_a_project_made_anew_under_the_same_name(bearers: Bearers) -> None:
    narrowed = await bounds(bearers, await mint(bearers))

    assert narrowed.at(APP, Where(APP, 6, 60, since=time.time_ns() // 1000)) == NONE
    assert narrowed.at(APP, Where(APP)) == NONE


async def test_where_no_project_was_a_token_opens_the_one_that_a_push_makes_and_no_older_one(bearers: Bearers) -> None:
    minted = await bearers.mint(ANN, [Opened(APP, frozenset({"push"}), None)])
    narrowed = await bounds(bearers, minted.token.encode())

    assert narrowed.at(APP, Where(APP)) == ACTIONS["push"]
    assert narrowed.at(APP, Where(APP, 9, since=minted.issued_at * 1_000_000 + 1)) == ACTIONS["push"]
    assert narrowed.at(APP, Where(APP, 9, since=minted.issued_at * 1_000_000 - 1)) == NONE


async def test_a_name_with_the_host_opens_the_name_without_it(bearers: Bearers) -> None:
    minted = await bearers.mint(ANN, [Opened(APP, frozenset({"pull"}), 5, asked="hub.example/team/app")])
    narrowed = await bounds(bearers, minted.token.encode())

    assert narrowed.at(APP, HERE) == ACTIONS["pull"]
    assert narrowed.at("hub.example/team/app", HERE) == NONE
    (entry,) = jwt.decode(minted.token, options={"verify_signature": False})["access"]
    assert entry["name"] == "hub.example/team/app"


async def test_the_catalog_shows_what_the_credential_showed(bearers: Bearers) -> None:
    narrow = replace(ANN, narrowed=TokenBounds(None, ((5, Pattern("web/**")),)))

    assert (await bounds(bearers, await mint(bearers, catalog=True))).within is None
    assert (await bounds(bearers, await mint(bearers, narrow, catalog=True))).within == ((5, "web/**"),)
    assert (await bounds(bearers, await mint(bearers, narrow))).within == ()


async def test_a_token_that_would_fit_no_header_is_not_made(bearers: Bearers) -> None:
    many = [Opened(RepositoryName(f"{'a' * 200}/{number}"), frozenset(ACTIONS), 5) for number in range(50)]

    with pytest.raises(ScopeInvalid):
        await bearers.mint(ANN, many)


async def test_the_most_scopes_of_usual_names_fit(bearers: Bearers) -> None:
    many = [
        Opened(RepositoryName(f"platform/services/backend-{number:03}"), frozenset({"pull", "push"}), 12345)
        for number in range(SETTINGS.max_scopes)
    ]

    assert len((await bearers.mint(ANN, many)).token) < LONGEST


# What is refused


async def test_a_token_without_a_signature_is_refused(bearers: Bearers, key: Key) -> None:
    for alg in ("none", "None", "NONE", "", None, 5, ["EdDSA"]):
        header = {"alg": alg, "kid": key.kid, "typ": "JWT"}
        for tail in (b"", encoded(b"x" * 64)):
            await refused(bearers, encoded(header) + b"." + encoded(claims()) + b"." + tail)
    cut = signed(key).rpartition(b".")[0]
    for tail in (b"", b".", b"..", b"." + encoded(b"\0" * 64)):
        await refused(bearers, cut + tail)


async def test_a_public_key_is_no_shared_secret(bearers: Bearers, key: Key) -> None:
    pem = key.public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for alg, digest in (("HS256", hashlib.sha256), ("HS512", hashlib.sha512), ("EdDSA", hashlib.sha512)):
        for known in (pem, key.public.public_bytes_raw(), json.dumps(key.document).encode()):
            head = encoded({"alg": alg, "kid": key.kid, "typ": "JWT"}) + b"." + encoded(claims())
            await refused(bearers, head + b"." + encoded(hmac.new(known, head, digest).digest()))


async def test_another_algorithm_is_refused_whatever_signs(bearers: Bearers, key: Key) -> None:
    curve, large = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
    for alg, private in (("ES256", curve), ("RS256", large), ("PS256", large)):
        await refused(bearers, jwt.encode(claims(), private, algorithm=alg, headers={"kid": key.kid}).encode())
    await refused(bearers, by_hand(key, {"alg": "Ed448", "kid": key.kid, "typ": "JWT"}, claims()))
    await refused(bearers, by_hand(key, {"alg": "eddsa", "kid": key.kid, "typ": "JWT"}, claims()))


@pytest.mark.parametrize(
    "kid",
    ["", "made-up", "../../../../dev/null", "/etc/passwd", "x' OR '1'='1", "'; DROP TABLE signing_keys; --", "a\x00b",
     "%00", "\u0430" * 43, "A" * 43, "http://evil.example/key", "x" * 6000],
)  # fmt: skip
async def test_a_key_is_found_among_our_own_only(bearers: Bearers, key: Key, kid: str) -> None:
    stranger = replace(key, private=Ed25519PrivateKey.generate())

    await refused(bearers, signed(replace(stranger, kid=kid)))
    await refused(bearers, signed(replace(key, kid=kid)))
    await refused(bearers, signed(stranger))
    assert (await bearers.read(signed(key))).name == "ann"


@pytest.mark.parametrize("kid", [None, 5, ["a"], {"a": 1}, True, 1.5])
async def test_the_name_of_a_key_is_text(bearers: Bearers, key: Key, kid: object) -> None:
    await refused(bearers, by_hand(key, {"alg": "EdDSA", "kid": kid, "typ": "JWT"}, claims()))


@pytest.mark.parametrize(
    "more",
    [
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/certificate"},
        {"x5c": ["MIIB"]},
        {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}},
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False, "crit": ["b64"]},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"typ": "at+jwt"},
        {"typ": None},
    ],
)
async def test_a_header_says_nothing_that_ours_do_not(bearers: Bearers, key: Key, more: dict[str, Any]) -> None:
    header = {"alg": "EdDSA", "kid": key.kid, "typ": "JWT"}
    assert (await bearers.read(by_hand(key, header, claims()))).name == "ann"

    await refused(bearers, by_hand(key, {**header, **more}, claims()))


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "another"},
        {"aud": ["pierhead"]},
        {"aud": ["another", "pierhead"]},
        {"aud": None},
        {"aud": ""},
        {"iss": "another"},
        {"iss": None},
        {"iss": ["pierhead"]},
        {"sub": None},
        {"sub": 5},
        {"jti": None},
        {"exp": None},
        {"nbf": None},
        {"iat": None},
        {"exp": int(time.time()) - 1},
        {"exp": 0},
        {"exp": "9999999999"},
        {"exp": 1e400},
        {"exp": True},
        {"exp": [9999999999]},
        {"nbf": int(time.time()) + 600},
        {"iat": int(time.time()) + 600},
        {"nbf": "0"},
        {"iat": 1.5},
        {"access": None},
        {"access": 5},
        {"access": [5]},
        {"access": [{"type": "repository"}]},
        {"access": [{"type": "repository", "name": "a", "actions": 5, "project": 1}]},
        {"access": [{"type": "repository", "name": ["a"], "actions": [], "project": 1}]},
        {"who": 5},
        {"who": [1]},
    ],
)
async def test_a_token_with_wrong_claims_is_refused(bearers: Bearers, key: Key, changed: dict[str, Any]) -> None:
    await refused(bearers, by_hand(key, {"alg": "EdDSA", "kid": key.kid, "typ": "JWT"}, claims(**changed)))


async def test_a_token_of_another_service_is_refused(sqlite: Database) -> None:
    await refused(node(sqlite), await mint(node(sqlite, service="another")))


async def test_a_token_may_begin_a_moment_later(bearers: Bearers, key: Key) -> None:
    soon = int(time.time()) + 3

    assert (await bearers.read(signed(key, claims(nbf=soon, iat=soon)))).name == "ann"


async def test_an_expired_token_is_refused_though_it_was_verified(bearers: Bearers, key: Key) -> None:
    token = signed(key, claims(exp=int(time.time()) + 2))
    assert (await bearers.read(token)).name == "ann"
    assert bearers.remembered(token)

    await asyncio.sleep(2.1)

    await refused(bearers, token)


async def test_a_long_token_is_refused_before_it_is_read(bearers: Bearers, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(_: object) -> None:
        raise AssertionError("it was read")

    monkeypatch.setattr(jwt, "get_unverified_header", read)
    for token in (b"a" * (LONGEST + 1), b"e30." * 1_000_000, b"." * 9000):
        await refused(bearers, token)


async def test_whatever_is_changed_or_cut_the_token_is_refused(bearers: Bearers) -> None:
    token = await mint(bearers)

    for place in range(0, len(token), 7):
        await refused(bearers, token[:place])
        other = b"A" if token[place : place + 1] != b"A" else b"B"
        await refused(bearers, token[:place] + other + token[place + 1 :])


_DEEP = [b"[" * 6000, b'{"a":' * 1500, b"9" * 6000, b'"' + b"\\u0000" * 900 + b'"']


@pytest.mark.parametrize("deep", range(len(_DEEP)))
async def test_a_nesting_without_end_is_refused(bearers: Bearers, key: Key, deep: int) -> None:
    await refused(bearers, encoded(_DEEP[deep])[: LONGEST - 10] + b".e30.x")
    await refused(bearers, by_hand(key, {"alg": "EdDSA", "kid": key.kid, "typ": "JWT"}, _DEEP[deep]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.one_of(st.binary(max_size=200), st.from_regex(rb"[A-Za-z0-9_=-]{0,40}(\.[A-Za-z0-9_=-]{0,40}){0,4}")))
async def test_any_bytes_are_refused(bearers: Bearers, token: bytes) -> None:
    await refused(bearers, token)


# Many nodes, and keys that change


async def test_a_token_of_one_node_is_taken_by_another_while_keys_change(database: Database, other: Database) -> None:
    before = await mint(node(database))
    assert (await node(other).read(before)).name == "ann"
    await age(database, 30 * DAY)
    await SigningKeys(database, days=30).change()
    await age(database, HOUR)

    after = await mint(node(other))

    kids = [jwt.get_unverified_header(token)["kid"] for token in (before, after)]
    assert kids[0] != kids[1]
    for one in (node(database), node(other)):
        for token in (before, after):
            assert (await one.read(token)).id == ANN.id


async def test_a_verified_token_ends_with_its_key(database: Database, other: Database) -> None:
    here, there = node(database), node(other)
    token = await mint(here)
    assert (await there.read(token)).name == "ann"
    assert there.remembered(token)

    await SigningKeys(database, days=30).replace(by=By(Actor("root"), ALL))
    await asyncio.sleep(1.05)

    for one in (here, there):
        with pytest.raises(TokenInvalid):
            await one.read(token)


async def test_what_is_remembered_is_bounded(sqlite: Database) -> None:
    small = node(sqlite, verified_entries=16)
    tokens = [await mint(small) for _ in range(20)]
    for token in tokens:
        await small.read(token)

    remembered = [token for token in tokens if small.remembered(token)]

    assert remembered == tokens[-16:]
