"""An issuer and its keys: how often it is asked, and how long believed."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from jwt.algorithms import ECAlgorithm

from pierhead.access.oidc.issuer import Issuer
from pierhead.access.oidc.metadata import parse
from pierhead.access.oidc.tokens import Refused
from pierhead.access.oidc.trusts import Trust
from pierhead.access.sources import SourceUnavailable
from pierhead.issuer_settings import IssuerSettings, OutboundSettings
from pierhead.outbound import Outbound
from tests.servers.oidc import AUDIENCE, Server
from tests.servers.rogue_issuer import DISCOVERY, Rogue, rogue_issuer

pytestmark = pytest.mark.anyio

BOTH = [DISCOVERY, "/jwks"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def rogue() -> Iterator[Rogue]:
    with rogue_issuer() as server:
        yield server


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def issuer(rogue: Rogue, clock: Clock, trust: Trust | None = None, **outbound: Any) -> Issuer:
    return Issuer(rogue.url, IssuerSettings(), Outbound(OutboundSettings(**outbound)), trust, clock)


async def test_it_is_asked_once_for_many_tokens_at_once(rogue: Rogue, clock: Clock) -> None:
    one = issuer(rogue, clock)

    await asyncio.gather(*(one.verify(rogue.token(), ["pierhead"]) for _ in range(20)))

    assert rogue.asked == BOTH


async def test_rotated_keys_are_found_when_the_first_token_of_theirs_comes(rogue: Rogue, clock: Clock) -> None:
    one = issuer(rogue, clock)
    before = rogue.token()
    await one.verify(before, ["pierhead"])
    rogue.rotate("second")
    clock.now += 31

    assert (await one.verify(rogue.token(), ["pierhead"]))["sub"] == "somebody"
    with pytest.raises(Refused, match="does not publish"):
        await one.verify(before, ["pierhead"])


async def test_a_flood_of_unknown_keys_makes_it_be_asked_once_in_a_while(rogue: Rogue, clock: Clock) -> None:
    one = issuer(rogue, clock)
    await one.metadata()
    clock.now += 31

    async def come(number: int) -> None:
        with pytest.raises(Refused, match="does not publish"):
            await one.verify(rogue.token({"kid": f"unknown-{number}"}), ["pierhead"])

    for _ in range(3):
        await asyncio.gather(*(come(number) for number in range(20)))
    assert rogue.asked == BOTH * 2
    clock.now += 31
    await come(0)
    assert rogue.asked == BOTH * 3


async def test_a_token_of_another_issuer_asks_nobody(rogue: Rogue, clock: Clock) -> None:
    with pytest.raises(Refused, match="another issuer"):
        await issuer(rogue, clock).verify(rogue.token(iss="https://issuer.example.org"), ["pierhead"])

    assert rogue.asked == []


async def test_what_is_known_stays_while_it_is_down_but_not_for_ever(rogue: Rogue, clock: Clock) -> None:
    one = issuer(rogue, clock)
    await one.verify(rogue.token(), ["pierhead"])
    rogue.gives(DISCOVERY, b"gone", 503)
    clock.now += 2 * 3600

    assert await one.verify(rogue.token(), ["pierhead"])
    await one.close()
    clock.now += 24 * 3600
    with pytest.raises(SourceUnavailable, match="answers 503"):
        await one.verify(rogue.token(), ["pierhead"])


async def test_nobody_waits_for_a_refresh_who_can_be_served(rogue: Rogue, clock: Clock) -> None:
    one = issuer(rogue, clock)
    await one.verify(rogue.token(), ["pierhead"])
    over, arrived = threading.Event(), threading.Event()

    def hang(_: object) -> tuple[int, bytes, dict[str, str]]:
        arrived.set()
        over.wait(10)
        return 503, b"", {}

    rogue.answers[DISCOVERY] = hang
    clock.now += 3601

    async with asyncio.timeout(2):
        assert await one.verify(rogue.token(), ["pierhead"])
        assert await asyncio.to_thread(arrived.wait, 2)
        assert await one.verify(rogue.token(), ["pierhead"])
    over.set()
    await one.close()


async def test_one_who_gives_up_leaves_the_answer_to_the_others(rogue: Rogue, clock: Clock) -> None:
    one = issuer(rogue, clock)
    first = asyncio.create_task(one.verify(rogue.token(), ["pierhead"]))
    await asyncio.sleep(0)
    second = asyncio.create_task(one.verify(rogue.token(), ["pierhead"]))
    await asyncio.sleep(0)
    first.cancel()

    assert await second
    assert rogue.asked == BOTH


async def test_one_that_does_not_answer_is_left_alone_for_a_while(rogue: Rogue, clock: Clock) -> None:
    rogue.gives(DISCOVERY, b"", 500)
    one = issuer(rogue, clock)

    for _ in range(3):
        with pytest.raises(SourceUnavailable, match="answers 500"):
            await one.metadata()
    assert rogue.asked == [DISCOVERY]
    del rogue.answers[DISCOVERY]
    clock.now += 6
    assert (await one.metadata()).issuer == rogue.url


async def test_one_that_hangs_holds_nobody_longer_than_the_settings_say(rogue: Rogue, clock: Clock) -> None:
    over = threading.Event()
    rogue.answers["/jwks"] = lambda _: (over.wait(10), (200, b"", {}))[1]

    with pytest.raises(SourceUnavailable, match=r"within 0\.2 seconds"):
        await issuer(rogue, clock, seconds=0.2).metadata()
    over.set()


async def test_closing_ends_a_question_that_is_under_way(rogue: Rogue, clock: Clock) -> None:
    over = threading.Event()
    rogue.answers[DISCOVERY] = lambda _: (over.wait(10), (200, b"", {}))[1]
    one = issuer(rogue, clock)
    waiting = asyncio.create_task(one.metadata())
    await asyncio.sleep(0.05)

    async with asyncio.timeout(2):
        await one.close()
        with pytest.raises(SourceUnavailable):
            await waiting
    over.set()


@pytest.mark.parametrize(
    ("discovery", "reason"),
    [
        ({"issuer": "https://issuer.example.org"}, "another issuer"),
        ({"issuer": None}, "another issuer"),
        ({"jwks_uri": None}, "where its keys are"),
        ({"jwks_uri": "file:///etc/passwd"}, "jwks_uri"),
        ({"jwks_uri": "http://169.254.169.254/latest"}, "jwks_uri"),
        ({"token_endpoint": 7}, "token_endpoint"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "authorization_endpoint"),
    ],
)
async def test_a_discovery_document_that_cannot_be_right_is_refused(
    rogue: Rogue, clock: Clock, discovery: dict[str, Any], reason: str
) -> None:
    rogue.discovery = discovery

    with pytest.raises(SourceUnavailable, match=reason):
        await issuer(rogue, clock).metadata()


@pytest.mark.parametrize("name", ["jwks_uri", "token_endpoint", "userinfo_endpoint"])
def test_an_issuer_that_is_asked_over_https_does_not_lead_to_plain_http(name: str) -> None:
    document = {"issuer": "https://issuer.example.org", name: "http://127.0.0.1/here"}

    with pytest.raises(ValueError, match=name):
        parse(json.dumps(document).encode(), "https://issuer.example.org")


@pytest.mark.parametrize("content", [b"not JSON", b"[]", b"[" * 100_000, b"\xff\xfe"])
async def test_what_is_no_discovery_document_is_told_as_such(rogue: Rogue, clock: Clock, content: bytes) -> None:
    rogue.gives(DISCOVERY, content)

    with pytest.raises(SourceUnavailable):
        await issuer(rogue, clock).metadata()


@pytest.mark.parametrize("path", BOTH)
async def test_a_huge_document_is_not_read(rogue: Rogue, clock: Clock, path: str) -> None:
    rogue.gives(path, b" " * (2 * 1024 * 1024))

    with pytest.raises(SourceUnavailable, match=r"outbound\.max_bytes"):
        await issuer(rogue, clock).metadata()


async def test_it_may_want_to_see_a_token_of_ours_first(rogue: Rogue, clock: Clock, tmp_path: Path) -> None:
    """As Kubernetes does. The file is read each time, since it is replaced while it is still good."""
    file = tmp_path / "token"
    file.write_text("of-this-pod\n")

    await issuer(rogue, clock, Trust(token_file=file)).metadata()

    assert [headers["authorization"] for headers in rogue.headers] == ["Bearer of-this-pod"] * 2


async def test_its_keys_may_be_elsewhere(rogue: Rogue, clock: Clock) -> None:
    one = issuer(rogue, clock, Trust(jwks_url=f"{rogue.url}/jwks"))

    assert await one.verify(rogue.token(), ["pierhead"])
    assert rogue.asked == ["/jwks"]


async def test_its_keys_may_be_in_a_file_and_then_nobody_is_asked(rogue: Rogue, clock: Clock, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"

    def publish() -> None:
        keys = [json.loads(ECAlgorithm.to_jwk(key.public_key())) | {"kid": kid} for kid, key in rogue.keys.items()]
        file.write_text(json.dumps({"keys": keys}))

    publish()
    one = issuer(rogue, clock, Trust(jwks_file=file))
    assert await one.verify(rogue.token(), ["pierhead"])
    rogue.rotate("second")
    publish()
    clock.now += 31
    assert await one.verify(rogue.token(), ["pierhead"])
    assert rogue.asked == []


async def test_a_file_of_keys_that_is_not_there_is_told_as_such(rogue: Rogue, clock: Clock, tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="No such file"):
        await issuer(rogue, clock, Trust(jwks_file=tmp_path / "none")).verify(rogue.token(), ["pierhead"])


async def test_a_real_issuer_is_understood(oidc: Server, clock: Clock) -> None:
    one = Issuer(oidc.first.url, IssuerSettings(), Outbound(OutboundSettings()), None, clock)

    told = await one.metadata()
    claims = await one.verify(oidc.first.workflow_token(), [AUDIENCE])

    assert told.names_itself
    assert told.takes_basic
    assert claims["repository"] == "acme/app"


async def test_a_real_issuer_is_believed_by_its_own_certificate_only(oidc: Server, clock: Clock) -> None:
    assert oidc.second.certificate
    url, settings = oidc.second.url, IssuerSettings()
    outbound = Outbound(OutboundSettings(), certificates=oidc.second.certificate.path)

    with pytest.raises(SourceUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        await Issuer(url, settings, Outbound(OutboundSettings()), None, clock).metadata()
    assert (await Issuer(url, settings, outbound, None, clock).metadata()).issuer == url


async def test_a_token_of_one_real_issuer_is_nothing_at_another(oidc: Server, clock: Clock) -> None:
    """Also where it says that it is of the other one: the keys are not the same."""
    token = oidc.second.workflow_token()
    forged = jwt.decode(token, options={"verify_signature": False}) | {"iss": oidc.first.url}
    one = Issuer(oidc.first.url, IssuerSettings(), Outbound(OutboundSettings()), None, clock)

    with pytest.raises(Refused, match="another issuer"):
        await one.verify(token, [AUDIENCE])
    with rogue_issuer() as rogue, pytest.raises(Refused, match=r"signature|publish"):
        await one.verify(rogue.token({"kid": "first-ec"}, **forged), [AUDIENCE])
