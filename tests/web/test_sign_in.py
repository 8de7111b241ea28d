"""Signing in and out, and what keeps others from doing it for somebody."""

import json
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.access.hashed import argon2, write
from tests.running import Running, serving
from tests.web.person import PASSWORD, Person, hidden


def test_who_signs_in_gets_to_the_page_that_was_asked_for(person: Person) -> None:
    asked = person.get("/account/password")
    assert asked.status_code == 303
    assert asked.headers["location"] == "/sign-in?to=/account/password"

    came = person.sign_in(to="/account/password")

    assert (came.status_code, came.headers["location"]) == (303, "/account/password")
    assert "Change the password" in person.get("/account/password").text


@pytest.mark.parametrize(
    "to",
    ["https://evil.example", "//evil.example", "/\\evil.example", "\\/evil.example", "/%0a/evil", "javascript:alert(1)",
     "/\t/evil.example", "http:evil.example", "/ account", "/a\r\nSet-Cookie: x=y"],
)  # fmt: skip
def test_nobody_is_led_elsewhere(person: Person, to: str) -> None:
    form = person.token("/sign-in")

    came = person.client.post("/sign-in", data={**form, "to": to, "name": "admin", "password": PASSWORD})

    assert came.status_code == 303
    assert came.headers["location"] in ("/account", "/%0a/evil")
    assert urlsplit_host(came.headers["location"]) == ""
    assert person.cookie()


def urlsplit_host(text: str) -> str:
    return httpx.URL("http://own.example").join(text).host.removeprefix("own.example")


def test_the_session_is_a_cookie_that_scripts_and_other_sites_do_not_get(person: Person) -> None:
    came = person.sign_in()

    [told] = [value for value in came.headers.get_list("set-cookie") if value.startswith("pierhead-http=")]
    assert {part.strip().lower() for part in told.split(";")[1:]} == {"httponly", "path=/", "samesite=lax"}
    assert len(told.partition("=")[2].partition(";")[0]) == 43  # 256 bits


def test_behind_https_the_cookie_is_bound_to_the_host(tmp_path: Path) -> None:
    accounts = write(tmp_path / "auth", argon2("alice", PASSWORD))
    environment = {"PIERHEAD_SERVER_TRUSTED_PROXIES": "127.0.0.0/8"}
    with serving(tmp_path / "data", "--workers", "1", "--htpasswd", str(accounts), environment=environment) as running:
        headers = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "hub.example"}
        with httpx.Client(base_url=running.url, headers=headers) as client:
            page = client.get("/sign-in")
            [form] = page.headers.get_list("set-cookie")
            cookies = {"__Host-pierhead-form": form.partition("=")[2].partition(";")[0]}
            fields = {**hidden(page.text), "name": "alice", "password": PASSWORD}
            own = {"origin": "https://hub.example", "sec-fetch-site": "same-origin"}
            for name, value in cookies.items():
                own["cookie"] = f"{name}={value}"
            came = client.post("/sign-in", data=fields, headers=own)

    assert came.status_code == 303
    [told] = [value for value in came.headers.get_list("set-cookie") if value.startswith("__Host-pierhead=")]
    assert {part.strip().lower() for part in told.split(";")[1:]} == {"httponly", "path=/", "samesite=lax", "secure"}
    assert "docker login hub.example" not in page.text


def test_signing_in_changes_what_the_browser_holds(person: Person) -> None:
    planted = secrets.token_urlsafe(32)
    person.client.cookies.set("pierhead-http", planted)

    person.sign_in()

    first = [cookie.value for cookie in person.client.cookies.jar if cookie.name == "pierhead-http"][-1]
    assert first != planted
    person.client.cookies.clear()
    person.client.cookies.set("pierhead-http", planted)
    assert not person.signed_in


def test_signing_out_ends_the_session_for_whoever_has_the_cookie(registry: Running, person: Person) -> None:
    person.sign_in()
    stolen = person.cookie() or ""

    out = person.send("/account", "/sign-out")

    assert (out.status_code, out.headers["location"]) == (303, "/sign-in")
    assert person.cookie() is None
    with Person(registry) as thief:
        thief.client.cookies.set("pierhead-http", stolen)
        assert not thief.signed_in
    assert person.get("/sign-out").status_code in (404, 405)


def test_a_session_is_no_way_into_the_api(registry: Running, person: Person) -> None:
    person.sign_in()
    cookie = person.cookie() or ""

    for headers in ({"cookie": f"pierhead-http={cookie}"}, {"authorization": f"Bearer {cookie}"}):
        assert httpx.get(f"{registry.url}/v2/", headers=headers).status_code == 401
    assert httpx.get(f"{registry.url}/v2/", auth=("admin", cookie)).status_code == 401


@pytest.mark.parametrize(
    ("name", "password"),
    [("admin", "wrong"), ("nobody", PASSWORD), ("", PASSWORD), ("admin", ""), ("a" * 300, PASSWORD),
     ("admin\x00", PASSWORD), ("@team", PASSWORD), ("admin", "é" * 3000)],
)  # fmt: skip
def test_every_wrong_sign_in_reads_alike(person: Person, name: str, password: str) -> None:
    refused = person.sign_in(name, password)

    assert refused.status_code == 401
    assert "This name and password do not go together." in refused.text
    assert password == "" or password not in refused.text
    assert not person.signed_in


def test_a_name_is_shown_as_text(person: Person) -> None:
    refused = person.sign_in('"><script>alert(1)</script>', "wrong")

    assert "<script" not in refused.text
    assert "&#34;&gt;&lt;script&gt;" in refused.text


def test_every_page_has_the_headers_that_keep_it_to_itself(admin: Person) -> None:
    for path in (
        "/",
        "/account",
        "/account/tokens/new",
        "/account/second-factor",
        "/account/nothing",
        "/setup?token=x",
    ):
        headers = admin.get(path).headers
        policy = headers["content-security-policy"]
        for part in ("default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"):
            assert part in policy
        assert "unsafe" not in policy
        assert "script-src" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["x-frame-options"] == "DENY"


def test_no_page_has_a_script_or_a_style_of_its_own(admin: Person) -> None:
    for path in ("/", "/account", "/account/tokens/new", "/account/second-factor", "/account/password"):
        page = admin.get(path).text
        assert not re.search(r"<script|<style|\son\w+=|\sstyle=|https?://(?!127)", page), path


def test_the_style_sheet_is_kept_by_browsers_and_has_an_address_of_its_own_content(person: Person) -> None:
    page = person.get("/sign-in").text
    address = re.search(r'href="(/assets/pierhead\.css\?[0-9a-f]+)"', page)
    assert address

    sheet = person.get(address[1])

    assert sheet.headers["content-type"] == "text/css; charset=utf-8"
    assert "immutable" in sheet.headers["cache-control"]
    assert "prefers-color-scheme: dark" in sheet.text
    for path in ("/assets/../pages.py", "/assets/%2e%2e/pages.py", "/assets/", "/assets/x.css"):
        assert person.get(path).status_code == 404


# Forms of other sites


def test_a_form_without_its_token_is_refused(admin: Person) -> None:
    for fields in ({"x": "y"}, {"form_token": ""}, {"form_token": "x" * 43}):
        assert admin.client.post("/account/sessions/end-others", data=fields).status_code == 403
        assert admin.client.post("/sign-out", data=fields).status_code == 403
    assert admin.signed_in


def test_a_sign_in_form_needs_the_cookie_that_came_with_it(registry: Running, person: Person) -> None:
    form = person.token("/sign-in")
    fields = {**form, "name": "admin", "password": PASSWORD}

    assert httpx.post(f"{registry.url}/sign-in", data=fields).status_code == 403
    with Person(registry) as other:
        other.get("/sign-in")
        assert other.client.post("/sign-in", data=fields).status_code == 403


def test_the_token_of_another_session_is_refused(registry: Running, admin: Person) -> None:
    with Person(registry) as other:
        other.sign_in()
        theirs = other.token("/account", "/sign-out")
    assert admin.client.post("/sign-out", data=theirs).status_code == 403
    assert admin.signed_in


@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1:1"},
     {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "http://127.0.0.1.evil.example"}],
)  # fmt: skip
def test_a_form_of_another_site_is_refused_even_with_its_token(admin: Person, headers: dict[str, str]) -> None:
    form = admin.token("/account", "/sign-out")

    assert admin.client.post("/sign-out", data=form, headers=headers).status_code == 403
    assert admin.signed_in


def test_a_form_of_these_pages_is_taken(registry: Running, admin: Person) -> None:
    form = admin.token("/account", "/sign-out")
    headers = {"origin": registry.url, "sec-fetch-site": "same-origin"}

    assert admin.client.post("/sign-out", data=form, headers=headers).status_code == 303


def test_what_is_no_form_is_refused(admin: Person) -> None:
    assert admin.client.post("/sign-out", json={"form_token": "x"}).status_code == 400
    too_long = {"form_token": "x" * 70_000}
    assert admin.client.post("/sign-out", data=too_long).status_code == 400
    many = "&".join(f"a{number}=1" for number in range(100))
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert admin.client.post("/sign-out", content=many, headers=form).status_code == 400
    assert admin.client.post("/sign-out", content=b"\xff\xfe=1", headers=form).status_code == 400
    assert admin.client.put("/sign-out").status_code == 405


# Too many


def test_after_some_wrong_passwords_the_next_has_to_wait_and_a_session_goes_on(
    tmp_path: Path,
) -> None:
    accounts = write(tmp_path / "auth", argon2("alice", PASSWORD))
    environment = {"PIERHEAD_PAGES_SIGN_IN_RATE": "0", "PIERHEAD_ACCESS_WRONG_PASSWORDS": "3"}
    arguments = ("--workers", "1", "--htpasswd", str(accounts))
    with serving(tmp_path / "data", *arguments, environment=environment) as running, Person(running) as alice:
        alice.sign_in("alice")
        with Person(running) as guesser:
            assert [guesser.sign_in("alice", "guess").status_code for _ in range(3)] == [401] * 3
            waits = guesser.sign_in("alice", PASSWORD)
            assert waits.status_code == 429
            assert int(waits.headers["retry-after"]) >= 1
            assert "Too many attempts" in waits.text
        assert alice.signed_in


def test_attempts_from_an_address_are_limited_whatever_the_name(tmp_path: Path) -> None:
    accounts = write(tmp_path / "auth", argon2("alice", PASSWORD))
    environment = {"PIERHEAD_PAGES_SIGN_IN_RATE": "0.01", "PIERHEAD_PAGES_SIGN_IN_BURST": "4"}
    arguments = ("--workers", "1", "--htpasswd", str(accounts))
    with serving(tmp_path / "data", *arguments, environment=environment) as running, Person(running) as person:
        answers = [person.sign_in(f"name{number}", "guess").status_code for number in range(6)]

    assert answers == [401] * 4 + [429] * 2


def test_the_audit_trail_has_sign_ins_and_refusals(
    registry: Running, person: Person, user: Callable[..., None]
) -> None:
    user("trailed")
    person.sign_in("trailed", "wrong")
    person.sign_in("trailed")

    told = trail(registry, "trailed")

    assert {"signed-in", "refused"} <= {event["action"] for event in told}


def trail(registry: Running, name: str) -> list[dict[str, str]]:
    """What was done in a name; notes are written a moment later."""
    command = [sys.executable, "-m", "pierhead.cli.main", "audit", "list", "--data", str(registry.data), "--json"]
    for _ in range(40):
        told = subprocess.run([*command, "--actor", name], capture_output=True, text=True, check=True).stdout
        found = json.loads(told)
        events: list[dict[str, str]] = found["events"] if isinstance(found, dict) else found
        if len({event["action"] for event in events}) > 1:
            return events
        time.sleep(0.2)
    raise AssertionError(told)
