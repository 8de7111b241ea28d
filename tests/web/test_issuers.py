"""Signing in to the pages at real issuers of OpenID Connect, and in a directory."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.running import Running, serving
from tests.servers.oidc import Issuer, Server
from tests.web.person import Person, change


@pytest.fixture(scope="module")
def registry(oidc: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder: Path = tmp_path_factory.mktemp("issuers")
    config = folder / "pierhead.toml"
    config.write_text("".join(table(issuer) for issuer in (oidc.first, oidc.second)))
    with serving(folder / "data", "--workers", "2", "--config", str(config)) as running:
        yield running


def table(issuer: Issuer) -> str:
    certificate = f'ca_certificate = "{issuer.certificate.path}"\n' if issuer.certificate else ""
    groups = 'groups_claim = "groups"\nadmin_groups = ["registry-admins"]\n'
    return (
        f'[[oidc]]\nname = "{issuer.name}"\nlabel = "The <{issuer.name}> company"\nissuer = "{issuer.url}"\n'
        f'client_id = "{issuer.client_id}"\nclient_secret = "{issuer.client_secret}"\n{certificate}{groups}\n'
    )


def leave(person: Person, issuer: Issuer, to: str = "/account/tokens/new") -> str:
    begun = person.get(f"/sign-in/oidc/{issuer.name}?to={to}")
    assert begun.status_code == 303
    return begun.headers["location"]


def come_back(issuer: Issuer, leaving: str, login: str) -> str:
    """The path and query that the issuer sends the browser back to."""
    return issuer.sign_in(leaving, login).raw_path.decode("ascii")


def test_people_sign_in_by_the_button_of_their_issuer(registry: Running, oidc: Server) -> None:
    with Person(registry) as alice:
        page = alice.get("/sign-in?to=/account").text
        assert "The &lt;first&gt; company" in page
        assert 'href="/sign-in/oidc/first?to=/account"' in page

        came = alice.get(come_back(oidc.first, leave(alice, oidc.first), "sub-alice"))

        assert (came.status_code, came.headers["location"]) == (303, "/account/tokens/new")
        account = alice.get("/account").text
        assert "<h1>Alice Adams</h1>" in account
        assert "Signs in at The &lt;first&gt; company" in account
        assert "<strong>admin</strong> everywhere" in account
        assert alice.get("/account/password").status_code == 404


def test_an_answer_is_good_once_and_for_the_browser_that_left(registry: Running, oidc: Server) -> None:
    with Person(registry) as victim, Person(registry) as attacker:
        leave(victim, oidc.first)
        stolen = come_back(oidc.first, leave(attacker, oidc.first), "sub-bob")

        assert victim.get(stolen).status_code == 401
        assert not victim.signed_in
        assert attacker.get(stolen).status_code == 303
        cookies = httpx.Cookies(attacker.client.cookies)
        again = attacker.get(stolen)
        assert again.status_code == 401
        assert attacker.client.cookies == cookies


def test_an_answer_of_one_issuer_is_not_taken_at_the_other(registry: Running, oidc: Server) -> None:
    with Person(registry) as alice:
        back = come_back(oidc.first, leave(alice, oidc.first), "sub-alice")

        assert alice.get(back.replace("/oidc/first/", "/oidc/second/")).status_code == 401
        assert not alice.signed_in


@pytest.mark.parametrize(
    "query", ["", "?code=x", "?code=x&state=y", "?error=access_denied&error_description=<b>no</b>"]
)
def test_what_comes_without_having_left_is_refused(registry: Running, query: str) -> None:
    with Person(registry) as stranger:
        refused = stranger.get(f"/sign-in/oidc/first/callback{query}")

        assert refused.status_code == 401
        assert "<b>" not in refused.text
        assert not stranger.signed_in


def test_the_same_name_at_another_issuer_is_somebody_else(registry: Running, oidc: Server) -> None:
    with Person(registry) as first, Person(registry) as second:
        first.get(come_back(oidc.first, leave(first, oidc.first), "sub-bob"))
        assert first.signed_in

        refused = second.get(come_back(oidc.second, leave(second, oidc.second), "sub-bob"))

        assert refused.status_code == 401
        assert "belongs to another account" in refused.text
        assert not second.signed_in


def test_signing_out_goes_on_to_the_issuer(registry: Running, oidc: Server) -> None:
    with Person(registry) as alice:
        alice.get(come_back(oidc.first, leave(alice, oidc.first), "sub-alice"))

        out = alice.send("/account", "/sign-out")

        assert out.status_code == 200
        assert f'href="{oidc.first.url}/session/end?' in out.text
        assert not alice.signed_in


def test_nobody_is_led_elsewhere_after_it(registry: Running, oidc: Server) -> None:
    with Person(registry) as alice:
        leaving = leave(alice, oidc.first, "//evil.example")

        came = alice.get(come_back(oidc.first, leaving, "sub-alice"))

        assert came.headers["location"] == "/account"
    assert httpx.get(f"{registry.url}/sign-in/oidc/nosuch").status_code == 404


def test_the_log_has_no_code_of_an_issuer(registry: Running, oidc: Server) -> None:
    with Person(registry) as alice:
        back = come_back(oidc.first, leave(alice, oidc.first), "sub-alice")
        alice.client.cookies.clear()
        alice.get(back)
    code = httpx.URL(back).params["code"]

    assert code not in registry.log.read_text()


def test_who_was_signed_in_by_an_issuer_and_is_disabled_is_out(registry: Running, oidc: Server) -> None:
    with Person(registry) as bob:
        bob.get(come_back(oidc.first, leave(bob, oidc.first), "sub-bob"))
        assert bob.signed_in
        change(registry.data, "UPDATE principals SET disabled_at = 1 WHERE name = 'bob'")
        try:
            assert not bob.signed_in
            assert bob.get(come_back(oidc.first, leave(bob, oidc.first), "sub-bob")).status_code == 401
        finally:
            change(registry.data, "UPDATE principals SET disabled_at = NULL WHERE name = 'bob'")
