"""People who sign in at an issuer: real ones, and one that cheats."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from pierhead.access.oidc.issuer import Issuer as OurIssuer
from pierhead.access.oidc.issuers import Issuers
from pierhead.access.oidc.people import Provider, SignedIn, redirect_uri
from pierhead.access.oidc.state import Seal
from pierhead.access.oidc.tokens import Refused
from pierhead.access.oidc.trusts import Trust
from pierhead.access.sources import SourceUnavailable
from pierhead.issuer_settings import IssuerSettings, OidcSettings, OutboundSettings
from tests.servers.oidc import Issuer, Server
from tests.servers.rogue_issuer import Rogue, rogue_issuer

pytestmark = pytest.mark.anyio

SEAL = Seal(bytes(range(32)), 600)
HERE = "http://127.0.0.1:5000/sign-in/oidc/rogue/callback"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def issuers(oidc: Server) -> AsyncIterator[Issuers]:
    assert oidc.second.certificate
    trusts = {oidc.first.url: Trust(), oidc.second.url: Trust(ca_certificate=oidc.second.certificate.path)}
    async with Issuers(IssuerSettings(), OutboundSettings(), trusts) as opened:
        yield opened


def provider(issuers: Issuers, issuer: Issuer, **changed: Any) -> Provider:
    table = {
        "name": issuer.name,
        "issuer": issuer.url,
        "client_id": issuer.client_id,
        "client_secret": issuer.client_secret,
        "scopes": ["openid", "profile", "email", "groups"],
        "groups_claim": "groups",
    }
    return Provider(OidcSettings.model_validate(table | changed), issuers.get(issuer.url), SEAL)


async def come_back(issuer: Issuer, url: str, login: str) -> httpx.URL:
    return await asyncio.to_thread(issuer.sign_in, url, login)


async def sign_in(one: Provider, issuer: Issuer, login: str = "sub-alice") -> SignedIn:
    url, sealed = await one.begin(issuer.redirect_uri, "/projects")
    return await one.finish((await come_back(issuer, url, login)).query, sealed)


@pytest.mark.parametrize("name", ["first", "second"])
async def test_a_person_signs_in_at_either_of_two_issuers(oidc: Server, issuers: Issuers, name: str) -> None:
    """One tells who it is at its userinfo endpoint, the other in its ID token, signed in another way, over TLS."""
    issuer: Issuer = getattr(oidc, name)

    signed_in = await sign_in(provider(issuers, issuer), issuer)

    identity = signed_in.identity
    assert (identity.source, identity.name, identity.subject) == (f"oidc:{name}", "alice", "sub-alice")
    assert (identity.display, identity.email) == ("Alice Adams", "alice@example.org")
    assert identity.groups == ("developers", "registry-admins")
    assert signed_in.return_to == "/projects"


async def test_this_machine_may_have_any_port(oidc: Server, issuers: Issuers) -> None:
    """As tests of the pages need it, and tries on a laptop."""
    one = provider(issuers, oidc.first)
    url, sealed = await one.begin(redirect_uri("first", None, "127.0.0.1:43210"), "/")
    back = await come_back(oidc.first, url, "sub-alice")

    assert back.port == 43210
    assert (await one.finish(back.query, sealed)).identity.name == "alice"


async def test_a_public_client_signs_in_by_its_verifier_alone(oidc: Server, issuers: Issuers) -> None:
    one = provider(issuers, oidc.first, client_id="public", client_secret=None)

    assert (await sign_in(one, oidc.first, "sub-bob")).identity.name == "bob"


async def test_the_secret_may_be_in_a_file(oidc: Server, issuers: Issuers, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{oidc.first.client_secret}\n# of the registry\n")
    one = provider(issuers, oidc.first, client_secret=None, client_secret_file=str(file))

    assert (await sign_in(one, oidc.first)).identity.name == "alice"
    file.unlink()
    with pytest.raises(SourceUnavailable, match="client_secret_file"):
        await sign_in(one, oidc.first)


async def test_who_is_in_no_required_group_does_not_come_in(oidc: Server, issuers: Issuers) -> None:
    with pytest.raises(Refused, match="certain groups"):
        await sign_in(provider(issuers, oidc.first, required_groups=["developers"]), oidc.first, "sub-bob")


async def test_who_has_no_name_there_does_not_come_in(oidc: Server, issuers: Issuers) -> None:
    with pytest.raises(Refused, match=r"oidc\.name_claim"):
        await sign_in(provider(issuers, oidc.first), oidc.first, "sub-nameless")


async def test_a_code_is_good_once(oidc: Server, issuers: Issuers) -> None:
    one = provider(issuers, oidc.first)
    url, sealed = await one.begin(oidc.first.redirect_uri, "/")
    back = await come_back(oidc.first, url, "sub-alice")
    await one.finish(back.query, sealed)

    with pytest.raises(Refused, match="does not accept"):
        await one.finish(back.query, sealed)


async def test_a_code_is_of_no_use_to_another_browser(oidc: Server, issuers: Issuers) -> None:
    """Not with that browser's own attempt, and not where its state was changed to fit: the verifier does not."""
    one = provider(issuers, oidc.first)
    url, _ = await one.begin(oidc.first.redirect_uri, "/")
    back = await come_back(oidc.first, url, "sub-alice")
    other_url, other_sealed = await one.begin(oidc.first.redirect_uri, "/")
    state = parse_qs(urlsplit(other_url).query)["state"][0]

    with pytest.raises(Refused, match="not for this sign-in"):
        await one.finish(back.query, other_sealed)
    with pytest.raises(Refused, match="does not accept"):
        await one.finish(back.copy_set_param("state", state).query, other_sealed)


async def test_the_answer_of_one_issuer_is_not_taken_for_that_of_another(oidc: Server, issuers: Issuers) -> None:
    first, second = provider(issuers, oidc.first), provider(issuers, oidc.second)
    url, sealed = await first.begin(oidc.first.redirect_uri, "/")
    back = await come_back(oidc.first, url, "sub-alice")

    with pytest.raises(Refused):
        await second.finish(back.query, sealed)
    with pytest.raises(Refused, match="another issuer"):
        await first.finish(back.copy_set_param("iss", oidc.second.url).query, sealed)
    with pytest.raises(Refused, match="another issuer"):
        await first.finish(back.copy_remove_param("iss").query, sealed)


@pytest.mark.parametrize("field", ["state", "code"])
async def test_an_answer_that_lacks_something_or_has_it_twice_is_refused(
    oidc: Server, issuers: Issuers, field: str
) -> None:
    one = provider(issuers, oidc.first)
    url, sealed = await one.begin(oidc.first.redirect_uri, "/")
    back = await come_back(oidc.first, url, "sub-alice")

    twice = back.copy_add_param(field, back.params[field])
    for wrong in (back.copy_remove_param(field), back.copy_set_param(field, ""), twice):
        with pytest.raises(Refused, match="incomplete or not for this sign-in"):
            await one.finish(wrong.query, sealed)


@pytest.mark.parametrize(
    "query", [b"", b"state=%ff", b"\xff", b"=&=", b"a=1&" * 30 + b"b=1", b"code=" + b"x" * 9000, b"state"]
)
async def test_an_answer_that_is_none_is_refused(oidc: Server, issuers: Issuers, query: bytes) -> None:
    one = provider(issuers, oidc.first)
    _, sealed = await one.begin(oidc.first.redirect_uri, "/")

    with pytest.raises(Refused, match="begin anew"):
        await one.finish(query, sealed)


async def test_who_does_not_agree_at_the_issuer_is_told_what_it_said(oidc: Server, issuers: Issuers) -> None:
    one = provider(issuers, oidc.first, authorize_parameters={"prompt": "none"})
    url, sealed = await one.begin(oidc.first.redirect_uri, "/")
    back = await come_back(oidc.first, url, "sub-alice")

    with pytest.raises(Refused, match="did not sign you in: login_required"):
        await one.finish(back.query, sealed)


async def test_the_issuer_sends_nobody_to_a_place_that_is_not_registered(oidc: Server, issuers: Issuers) -> None:
    one = provider(issuers, oidc.first)
    url, _ = await one.begin("https://evil.example/sign-in/oidc/first/callback", "/")

    answer = await asyncio.to_thread(httpx.get, url)

    assert answer.status_code == 400
    assert "redirect_uri" in answer.text


async def test_signing_out_leads_through_the_issuer(oidc: Server, issuers: Issuers) -> None:
    url = await provider(issuers, oidc.first).sign_out_url("http://127.0.0.1:5000/sign-in")

    assert url
    answer = await asyncio.to_thread(httpx.get, url)
    assert answer.status_code == 200
    assert "logout" in answer.text.lower()


async def test_no_secret_is_logged(oidc: Server, issuers: Issuers, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await sign_in(provider(issuers, oidc.first), oidc.first)
    one = provider(issuers, oidc.first, client_secret="wrong-" + oidc.first.client_secret)
    with pytest.raises(Refused):
        await sign_in(one, oidc.first)

    assert "invalid_client" in str([vars(record) for record in caplog.records])
    ours = [record for record in caplog.records if record.name.startswith("pierhead")]
    assert not any(oidc.first.client_secret in str(vars(record)) for record in ours)
    assert oidc.first.client_secret not in repr(one.settings)


# What a real issuer cannot be made to say.


@pytest.fixture
def rogue() -> Iterator[Rogue]:
    with rogue_issuer() as server:
        yield server


@pytest.fixture
async def cheated(rogue: Rogue) -> AsyncIterator[Provider]:
    table = {"name": "rogue", "issuer": rogue.url, "client_id": "pierhead", "audiences": ["friend"]}
    async with Issuers(IssuerSettings(), OutboundSettings(), {rogue.url: Trust()}) as opened:
        yield Provider(OidcSettings.model_validate(table), opened.get(rogue.url), SEAL)


async def answered(one: Provider, rogue: Rogue, **changed: Any) -> SignedIn:
    """A sign-in whose ID token says something else than it should."""
    url, sealed = await one.begin(HERE, "/")
    sent = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    right = {"nonce": sent["nonce"], "preferred_username": "alice", "name": "Alice", "email": "a@example.org"}
    rogue.gives("/token", {"id_token": rogue.token(**right | changed), "access_token": "opaque"})
    return await one.finish(urlencode({"code": "code", "state": sent["state"]}).encode(), sealed)


async def test_an_id_token_as_it_should_be_signs_in(cheated: Provider, rogue: Rogue) -> None:
    assert (await answered(cheated, rogue)).identity.name == "alice"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"nonce": None}, "nonce"),
        ({"nonce": "of another sign-in"}, "nonce"),
        ({"nonce": 7}, "nonce"),
        ({"aud": "someone else"}, "aud"),
        ({"aud": ["pierhead", "stranger"], "azp": "pierhead"}, "oidc.audiences"),
        ({"aud": ["pierhead", "friend"]}, "azp"),
        ({"aud": ["pierhead", "friend"], "azp": "friend"}, "azp"),
        ({"azp": "friend"}, "azp"),
        ({"iss": "https://issuer.example.org"}, "issuer"),
        ({"nbf": 4102444800}, "clocks"),
        ({"exp": 1}, "expired"),
        ({"sub": None}, "lacks"),
    ],
)
async def test_an_id_token_for_somebody_or_something_else_is_refused(
    cheated: Provider, rogue: Rogue, changed: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Refused, match=reason):
        await answered(cheated, rogue, **changed)


async def test_other_audiences_may_be_known_and_the_client_must_be_this_one(cheated: Provider, rogue: Rogue) -> None:
    signed_in = await answered(cheated, rogue, aud=["pierhead", "friend"], azp="pierhead")

    assert signed_in.identity.subject == "somebody"


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"id_token": 7}', b"[" * 100_000])
async def test_an_answer_without_an_id_token_is_refused(cheated: Provider, rogue: Rogue, content: bytes) -> None:
    url, sealed = await cheated.begin(HERE, "/")
    rogue.gives("/token", content)

    with pytest.raises(Refused, match="no ID token"):
        await cheated.finish(f"code=x&state={parse_qs(urlsplit(url).query)['state'][0]}".encode(), sealed)


async def test_userinfo_of_somebody_else_is_refused(cheated: Provider, rogue: Rogue) -> None:
    rogue.discovery = {"userinfo_endpoint": f"{rogue.url}/userinfo"}
    rogue.gives("/userinfo", {"sub": "the administrator", "preferred_username": "admin"})

    with pytest.raises(Refused, match="somebody else"):
        await answered(cheated, rogue, preferred_username=None)


async def test_what_the_id_token_says_counts_more_than_userinfo(cheated: Provider, rogue: Rogue) -> None:
    rogue.discovery = {"userinfo_endpoint": f"{rogue.url}/userinfo"}
    rogue.gives("/userinfo", {"sub": "somebody", "preferred_username": "admin", "name": "Admin"})

    identity = (await answered(cheated, rogue, name=None)).identity

    assert (identity.name, identity.display) == ("alice", "Admin")


async def test_an_issuer_that_fails_at_the_end_is_told_as_unavailable(cheated: Provider, rogue: Rogue) -> None:
    rogue.discovery = {"userinfo_endpoint": f"{rogue.url}/userinfo"}
    rogue.gives("/userinfo", b"", 500)

    with pytest.raises(SourceUnavailable):
        await answered(cheated, rogue, name=None)


async def test_what_the_issuer_says_is_wrong_is_shown_without_its_tricks(cheated: Provider, rogue: Rogue) -> None:
    url, sealed = await cheated.begin(HERE, "/")
    fields = {
        "state": parse_qs(urlsplit(url).query)["state"][0],
        "error": "x\r\ny\x1b[31m",
        "error_description": "z" * 999,
    }

    with pytest.raises(Refused) as caught:
        await cheated.finish(urlencode(fields).encode(), sealed)

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


async def test_the_secret_goes_in_the_form_where_the_issuer_takes_no_header(rogue: Rogue) -> None:
    rogue.discovery = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    forms: list[dict[str, str]] = []

    def take(form: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        forms.append(form)
        return 400, b'{"error": "invalid_grant"}', {}

    rogue.answers["/token"] = take
    table = {"name": "rogue", "issuer": rogue.url, "client_id": "pierhead", "client_secret": "secret"}
    async with Issuers(IssuerSettings(), OutboundSettings(), {rogue.url: Trust()}) as opened:
        one = Provider(OidcSettings.model_validate(table), opened.get(rogue.url), SEAL)
        url, sealed = await one.begin(HERE, "/")
        with pytest.raises(Refused):
            await one.finish(f"code=x&state={parse_qs(urlsplit(url).query)['state'][0]}".encode(), sealed)

    assert (forms[0]["client_id"], forms[0]["client_secret"]) == ("pierhead", "secret")


async def test_an_issuer_without_a_place_to_sign_out_has_none(cheated: Provider) -> None:
    assert await cheated.sign_out_url("https://registry.example.org/") is None


async def test_an_issuer_that_is_down_is_told_as_such(rogue: Rogue) -> None:
    rogue.gives("/.well-known/openid-configuration", b"", 502)
    table = {"name": "rogue", "issuer": rogue.url, "client_id": "pierhead"}
    async with Issuers(IssuerSettings(), OutboundSettings(), {rogue.url: Trust()}) as opened:
        one = Provider(OidcSettings.model_validate(table), opened.get(rogue.url), SEAL)

        with pytest.raises(SourceUnavailable):
            await one.begin(HERE, "/")
    assert isinstance(opened.get(rogue.url), OurIssuer)


def test_the_way_back_is_built_from_the_address_that_the_operator_gave() -> None:
    assert redirect_uri("corp", "https://registry.example.org", "evil.example") == (
        "https://registry.example.org/sign-in/oidc/corp/callback"
    )


@pytest.mark.parametrize("host", ["localhost:5000", "127.0.0.1", "[::1]:8080"])
def test_without_it_this_machine_is_believed_by_its_own_name(host: str) -> None:
    assert redirect_uri("corp", None, host) == f"http://{host}/sign-in/oidc/corp/callback"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1@evil.example",
        "localhost:5000/x",
        "localhost:99999",
        "",
        "[",
    ],
)
def test_without_it_no_other_name_is_believed(host: str) -> None:
    with pytest.raises(Refused, match=r"server\.public_url"):
        redirect_uri("corp", None, host)
