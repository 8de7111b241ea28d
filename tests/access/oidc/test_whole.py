"""The whole program, two real issuers, and people who come through their pages."""

import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.running import Running, serving
from tests.servers.chromium import chromium
from tests.servers.oidc import Issuer, Server
from tests.servers.rogue_issuer import DISCOVERY, Rogue, rogue_issuer


def table(name: str, issuer: Issuer, *more: str) -> str:
    certificate = f'ca_certificate = "{issuer.certificate.path}"' if issuer.certificate else ""
    return "\n".join(
        [
            "[[oidc]]",
            f'name = "{name}"',
            f'label = "Come in by {name}"',
            f'issuer = "{issuer.url}"',
            f'client_id = "{issuer.client_id}"',
            f'client_secret = "{issuer.client_secret}"',
            'scopes = ["openid", "profile", "email", "groups"]',
            'groups_claim = "groups"',
            certificate,
            *more,
            "",
        ]
    )


@pytest.fixture(scope="module")
def silent() -> Iterator[Rogue]:
    over = threading.Event()
    with rogue_issuer() as rogue:
        rogue.answers[DISCOVERY] = lambda _: (over.wait(30), (200, b"", {}))[1]
        yield rogue
        over.set()


@pytest.fixture(scope="module")
def registry(oidc: Server, silent: Rogue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder: Path = tmp_path_factory.mktemp("oidc")
    file = folder / "pierhead.toml"
    file.write_text(
        table("first", oidc.first, 'admin_groups = ["registry-admins"]')
        + table("second", oidc.second, "onboarding = true", "renew_days = 30")
        + f'[[oidc]]\nname = "silent"\nissuer = "{silent.url}"\nclient_id = "x"\n'
        + "[outbound]\nseconds = 2\n"
    )
    with serving(folder / "data", "--config", str(file), "--workers", "1") as running:
        yield running


@pytest.fixture
def browser(registry: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=registry.url, timeout=30) as client:
        yield client


def leave_for(browser: httpx.Client, name: str, to: str = "/account") -> str:
    """Where the button of the sign-in page leads."""
    page = browser.get("/sign-in", params={"to": to})
    link = re.search(rf'href="(/sign-in/oidc/{name}[^"]*)"', page.text)
    assert link, page.text
    answer = browser.get(link[1].replace("&amp;", "&"))
    assert answer.is_redirect, answer.text
    return answer.headers["location"]


def sign_in(browser: httpx.Client, issuer: Issuer, login: str, to: str = "/account") -> httpx.Response:
    return browser.get(issuer.sign_in(leave_for(browser, issuer.name, to), login))


def test_a_person_comes_in_through_the_issuer_and_goes_out_through_it(
    browser: httpx.Client, registry: Running, oidc: Server
) -> None:
    back = sign_in(browser, oidc.first, "sub-alice")
    account = browser.get(back.headers["location"])
    form = re.search(r'action="/sign-out".*?name="(\w+)" value="([^"]+)"', account.text, re.DOTALL)
    assert form, account.text
    left = browser.post("/sign-out", data={form[1]: form[2]}, headers={"origin": registry.url})

    assert (back.status_code, back.headers["location"]) == (303, "/account")
    assert account.status_code == 200
    assert "alice" in account.text
    assert f"{oidc.first.url}/session/end?client_id=pierhead" in left.text
    assert browser.get("/account").status_code == 303


def test_each_issuer_has_people_of_its_own(browser: httpx.Client, registry: Running, oidc: Server) -> None:
    """One who is called alice at another issuer is not the alice who is known here."""
    with httpx.Client(base_url=registry.url, timeout=30) as other:
        sign_in(other, oidc.first, "sub-alice")
    refused = sign_in(browser, oidc.second, "sub-alice")
    assert refused.status_code == 401
    assert "belongs to another account" in refused.text
    assert browser.get("/account").status_code == 303

    assert sign_in(browser, oidc.second, "sub-bob").status_code == 303
    assert "bob" in browser.get("/account").text


def test_who_stayed_away_too_long_comes_in_anew_and_his_token_counts_again(
    browser: httpx.Client, registry: Running, oidc: Server
) -> None:
    sign_in(browser, oidc.second, "sub-bob")
    token = made_token(registry, "bob")
    before = httpx.get(f"{registry.url}/v2/", auth=("bob", token))
    stay_away(registry, "bob", days=31)
    paused, page = httpx.get(f"{registry.url}/v2/", auth=("bob", token)), browser.get("/account")
    back = sign_in(browser, oidc.second, "sub-bob")
    after = httpx.get(f"{registry.url}/v2/", auth=("bob", token))

    assert [answer.status_code for answer in (before, paused, page, back, after)] == [200, 401, 303, 303, 200]
    assert "sign in at /sign-in" in paused.text
    assert browser.get("/account").status_code == 200


def made_token(registry: Running, owner: str) -> str:
    command = [sys.executable, "-m", "pierhead.cli.main", "token", "create", owner, "--name", "x"]
    ran = subprocess.run(
        [*command, "--data", str(registry.data)], check=True, capture_output=True, text=True, timeout=30
    )
    return ran.stdout.strip()


def stay_away(registry: Running, name: str, *, days: int) -> None:
    """Time passes for all that is remembered, too."""
    with closing(sqlite3.connect(registry.data / "pierhead.db", timeout=30)) as connection:
        changed = "UPDATE principals SET seen_at = seen_at - ? WHERE name = ?"
        assert connection.execute(changed, (days * 86_400_000_000, name)).rowcount == 1
        connection.execute("UPDATE access_epoch SET number = number + 1")
        connection.commit()


def test_an_answer_in_another_browser_lets_nobody_in(browser: httpx.Client, registry: Running, oidc: Server) -> None:
    """So nobody can be signed in as somebody else by a link."""
    back = oidc.first.sign_in(leave_for(browser, "first"), "sub-alice")

    with httpx.Client(base_url=registry.url, timeout=30) as victim:
        without = victim.get(back)
        leave_for(victim, "first")
        with_its_own = victim.get(back)
        answers = [without, with_its_own]

        assert [answer.status_code for answer in answers] == [401, 401]
        assert victim.get("/account").status_code == 303


def test_an_answer_is_good_once(browser: httpx.Client, registry: Running, oidc: Server) -> None:
    url = leave_for(browser, "first")
    cookies = dict(browser.cookies)
    back = oidc.first.sign_in(url, "sub-alice")
    assert browser.get(back).status_code == 303

    with httpx.Client(base_url=registry.url, timeout=30, cookies=cookies) as again:
        assert again.get(back).status_code == 401


def test_the_answer_of_one_issuer_is_not_taken_at_the_place_of_another(browser: httpx.Client, oidc: Server) -> None:
    back = oidc.first.sign_in(leave_for(browser, "first"), "sub-alice")

    assert browser.get(back.copy_with(path="/sign-in/oidc/second/callback")).status_code == 401


@pytest.mark.parametrize("to", ["https://evil.example", "//evil.example", "/\\evil.example"])
def test_afterwards_nobody_is_led_away(browser: httpx.Client, oidc: Server, to: str) -> None:
    url = browser.get("/sign-in/oidc/first", params={"to": to}).headers["location"]

    assert browser.get(oidc.first.sign_in(url, "sub-alice")).headers["location"] in ("/", "/account")


def test_another_name_of_this_host_is_not_believed(browser: httpx.Client) -> None:
    answer = browser.get("/sign-in/oidc/first", headers={"host": "evil.example"})

    assert answer.status_code in (400, 401, 403)
    assert "evil.example" not in answer.headers.get("location", "")


def test_an_issuer_that_is_silent_holds_up_nobody_else(browser: httpx.Client, registry: Running) -> None:
    answers: list[httpx.Response] = []
    waiting = threading.Thread(
        target=lambda: answers.append(httpx.get(f"{registry.url}/sign-in/oidc/silent", timeout=30))
    )
    waiting.start()
    time.sleep(0.3)
    began = time.monotonic()

    for _ in range(20):
        assert browser.get("/v2/").status_code == 401
    took = time.monotonic() - began
    waiting.join()

    assert took < 1.5
    assert answers[0].status_code == 503


def test_no_secret_is_in_the_log(registry: Running, oidc: Server) -> None:
    text = registry.log.read_text()

    assert oidc.first.client_secret not in text
    assert not re.search(r"(code|state|code_verifier|id_token)=[A-Za-z0-9_-]{20}", text)


@pytest.mark.parametrize(
    ("name", "login", "shown"), [("first", "sub-alice", "admin everywhere"), ("second", "sub-bob", "bob")]
)
def test_people_come_and_go_in_a_real_browser(
    registry: Running, oidc: Server, name: str, login: str, shown: str
) -> None:
    issuer: Issuer = getattr(oidc, name)
    with chromium(any_certificate=issuer.certificate is not None) as browser:
        browser.driver.get(f"{registry.url}/account")
        browser.click(f'a[href^="/sign-in/oidc/{name}"]')
        browser.type("input[name=login]", login)
        browser.type("input[name=password]", "any")
        browser.click("form button[type=submit]")
        browser.wait_for("input[name=prompt][value=consent]")
        browser.click("form button[type=submit]")
        browser.wait_for('form[action="/sign-out"]')

        assert browser.driver.current_url == f"{registry.url}/account"
        assert shown in browser.seen
        assert browser.driver.execute_script("return document.cookie") == ""
        session = [cookie for cookie in browser.driver.get_cookies() if cookie["httpOnly"]]
        assert session
        assert all(cookie["sameSite"] == "Lax" for cookie in session)
        browser.click('form[action="/sign-out"] button')
        browser.click(f'a[href^="{issuer.url}/session/end"]')
        browser.click("button[name=logout]")
        browser.wait_for('form[action="/sign-in"]')
        browser.driver.get(f"{registry.url}/account")
        browser.wait_for('form[action="/sign-in"]')
