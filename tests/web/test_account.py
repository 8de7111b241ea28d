"""`/account`: tokens, the password, the second factor, and sessions."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pyotp
import pytest

from tests.access.hashed import argon2, write
from tests.distribution.wire import push_image
from tests.running import Running, serving
from tests.web.person import PASSWORD, Person, change, hidden

MakeUser = Callable[..., None]
ANOTHER = "another horse battery"


@pytest.fixture
def alice(registry: Running, user: MakeUser, request: pytest.FixtureRequest) -> str:
    """A user of this test alone."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[-60:].strip("-")
    user(name)
    return name


def make_token(person: Person, **fields: str) -> str:
    made = person.send(
        "/account/tokens/new", **{"name": "laptop", "may": "pull", "lasts": "30", "places": "", **fields}
    )
    assert made.status_code == 201, made.text
    found = re.search(r"phd_pat_\w+", made.text)
    assert found
    return found[0]


def status(registry: Running, path: str, name: str, secret: str, method: str = "GET") -> int:
    return httpx.request(method, f"{registry.url}{path}", auth=(name, secret)).status_code


def test_a_token_signs_in_is_shown_once_and_kept_as_a_hash(registry: Running, admin: Person) -> None:
    text = make_token(admin, name="once")

    assert status(registry, "/v2/", "admin", text) == 200
    page = admin.get("/account").text
    assert text not in page
    assert "once" in page
    assert "from 127.0.0.1" in page
    assert text.encode() not in b"".join(file.read_bytes() for file in registry.data.glob("pierhead.db*"))
    assert text not in registry.log.read_text()


def test_a_token_that_may_pull_does_not_push_and_one_for_a_project_stays_there(
    registry: Running, admin: Person
) -> None:
    with httpx.Client(base_url=registry.url, auth=("admin", PASSWORD)) as client:
        push_image(client, "team/app", "1")
        push_image(client, "other/app", "1")
    pulls = make_token(admin, name="pulls")
    there = make_token(admin, name="there", may="push", places="team\n")

    assert status(registry, "/v2/team/app/manifests/1", "admin", pulls) == 200
    assert status(registry, "/v2/team/app/blobs/uploads/", "admin", pulls, "POST") in (401, 403)
    assert status(registry, "/v2/team/app/blobs/uploads/", "admin", there, "POST") == 202
    assert status(registry, "/v2/other/app/manifests/1", "admin", there) in (401, 403, 404)
    assert "team" in admin.get("/account").text


def test_a_revoked_token_is_refused_at_once_and_a_rotated_one_works_for_a_while(
    registry: Running, admin: Person
) -> None:
    text = make_token(admin, name="going")
    form = token_form(admin, "going", "/account/tokens/rotate")
    rotated = admin.client.post("/account/tokens/rotate", data=form)
    new = re.findall(r"phd_pat_\w+", rotated.text)[0]
    assert status(registry, "/v2/", "admin", text) == 200
    assert status(registry, "/v2/", "admin", new) == 200

    while "going" in (page := admin.get("/account").text):
        form = token_form(admin, "going", "/account/tokens/revoke", page)
        assert admin.client.post("/account/tokens/revoke", data=form).status_code == 303

    assert status(registry, "/v2/", "admin", text) == 401
    assert status(registry, "/v2/", "admin", new) == 401


def token_form(person: Person, name: str, action: str, page: str | None = None) -> dict[str, str]:
    rows = re.findall(r"<li>.*?</li>", page or person.get("/account").text, re.DOTALL)
    [*_, row] = [row for row in rows if f'<p class="name">{name}</p>' in row]
    return hidden(row, action)


def test_tokens_of_somebody_else_are_out_of_reach(registry: Running, admin: Person, alice: str, person: Person) -> None:
    text = make_token(admin, name="mine")
    theirs = token_form(admin, "mine", "/account/tokens/revoke")["token"]
    person.sign_in(alice)
    own = person.token("/account", "/sign-out")

    for action in ("/account/tokens/revoke", "/account/tokens/rotate"):
        for token in (theirs, "999999", "x", "", "-1", "1" * 30):
            assert person.client.post(action, data={**own, "token": token}).status_code == 404
    assert status(registry, "/v2/", "admin", text) == 200
    assert "mine" not in person.get("/account").text


def test_a_token_for_a_project_that_one_may_not_see_reads_like_one_that_is_not_there(
    registry: Running, alice: str, person: Person
) -> None:
    with httpx.Client(base_url=registry.url, auth=("admin", PASSWORD)) as client:
        push_image(client, "secret/app", "1")
    person.sign_in(alice)

    hidden_one, missing = (
        person.send("/account/tokens/new", name="x", may="pull", lasts="30", places=place)
        for place in ("secret", "nosuch")
    )

    assert hidden_one.status_code == missing.status_code == 400
    assert hidden_one.text.replace("secret", "nosuch") == missing.text


@pytest.mark.parametrize(
    "fields",
    [{"name": ""}, {"name": " "}, {"name": "x" * 129}, {"may": "everything"}, {"lasts": "100000"}, {"lasts": "-1"},
     {"places": "Not/A Place"}, {"places": "../.."}, {"places": "**"}],
)  # fmt: skip
def test_what_is_no_token_is_refused_with_a_reason(admin: Person, fields: dict[str, str]) -> None:
    asked = {"name": "bad", "may": "pull", "lasts": "30", "places": "", **fields}

    refused = admin.send("/account/tokens/new", **asked)

    assert refused.status_code == 400
    assert 'role="alert"' in refused.text
    assert "phd_pat_" not in refused.text


def test_names_are_shown_as_text(admin: Person) -> None:
    make_token(admin, name="<img src=x onerror=alert(1)>")

    page = admin.get("/account").text

    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


def test_a_browser_that_calls_itself_html_is_shown_as_text(registry: Running, alice: str) -> None:
    with Person(registry, **{"user-agent": "<script>alert(1)</script>"}) as odd:
        odd.sign_in(alice)
        assert "<script" not in odd.get("/account").text


def test_another_password_ends_all_other_sessions_and_keeps_this_one(registry: Running, alice: str) -> None:
    with Person(registry) as here, Person(registry) as there:
        here.sign_in(alice)
        there.sign_in(alice)
        before = here.cookie()
        assert there.signed_in

        wrong = here.send("/account/password", old="wrong", new=ANOTHER, again=ANOTHER)
        differs = here.send("/account/password", old=PASSWORD, new=ANOTHER, again="x")
        weak = here.send("/account/password", old=PASSWORD, new="password123", again="password123")
        assert [answer.status_code for answer in (wrong, differs, weak)] == [400] * 3
        assert there.signed_in
        changed = here.send("/account/password", old=PASSWORD, new=ANOTHER, again=ANOTHER)

        assert changed.status_code == 303
        assert here.signed_in
        assert here.cookie() != before
        assert not there.signed_in
        assert there.sign_in(alice).status_code == 401
        assert there.sign_in(alice, ANOTHER).status_code == 303


def test_sessions_are_listed_and_ended_one_by_one_or_all(registry: Running, alice: str) -> None:
    people = [Person(registry, **{"user-agent": f"Agent{number}/1"}) for number in range(3)]
    for person in people:
        person.sign_in(alice)
    first, second, third = people
    page = first.get("/account").text
    assert re.findall(r'<p class="name">(Agent\d)</p>', page).count("Agent1") == 1
    row = next(row for row in re.findall(r"<li>.*?</li>", page, re.DOTALL) if "Agent1" in row)

    first.client.post("/account/sessions/end", data=hidden(row, "/account/sessions/end"))

    assert [person.signed_in for person in people] == [True, False, True]
    second.sign_in(alice)
    first.send("/account", "/account/sessions/end-others")
    assert [person.signed_in for person in people] == [True, False, False]
    for person in people:
        person.client.close()


def test_a_session_of_somebody_else_is_not_ended(registry: Running, admin: Person, alice: str, person: Person) -> None:
    person.sign_in(alice)
    with Person(registry, **{"user-agent": "Another/1"}) as second:
        second.sign_in(alice)
        row = re.findall(r"<li>.*?</li>", person.get("/account").text, re.DOTALL)
        label = next(hidden(text, "/account/sessions/end")["session"] for text in row if "Another" in text)
        form = admin.token("/account", "/sign-out")

        admin.client.post("/account/sessions/end", data={**form, "session": label})

        assert second.signed_in


def enrol(person: Person) -> tuple[pyotp.TOTP, list[str]]:
    """A second factor: its app, and the codes on paper."""
    begun = person.send("/account/second-factor", "/account/second-factor/begin")
    assert 'src="data:image/svg+xml' in begun.text
    secret = re.search(r'class="secret"><code>([A-Z2-7 ]+)</code>', begun.text)
    assert secret
    app = pyotp.TOTP(secret[1].replace(" ", ""))
    form = hidden(begun.text, "/account/second-factor/prove")
    wrong = person.client.post("/account/second-factor/prove", data={**form, "code": "000000"})
    assert wrong.status_code == 400
    proven = person.client.post("/account/second-factor/prove", data={**form, "code": app.now()})
    assert proven.status_code == 200
    return app, re.findall(r"<li><code>([a-z2-7-]+)</code></li>", proven.text)


def next_code(app: pyotp.TOTP) -> str:
    """One that was not used: the next step's is taken too."""
    return app.at(int(time.time()) + 30)


def test_with_a_second_factor_the_password_alone_opens_nothing(registry: Running, alice: str, person: Person) -> None:
    person.sign_in(alice)
    app, codes = enrol(person)
    assert len(codes) == 10

    with Person(registry) as again:
        half = again.sign_in(alice, to="/account/password")
        assert (half.status_code, half.headers["location"]) == (303, "/sign-in/second")
        assert again.cookie() is None
        assert not again.signed_in
        # What the app showed at the enrolment is used up.
        assert again.send("/sign-in/second", code=app.now()).status_code == 401
        for wrong in ("", "123", "abcdefgh", codes[0][:-1], "0" * 500):
            assert again.send("/sign-in/second", code=wrong).status_code in (401, 429)
        if again.send("/sign-in/second", code="000000").status_code == 429:
            time.sleep(2.1)
        whole = again.send("/sign-in/second", code=next_code(app))
        assert (whole.status_code, whole.headers["location"]) == (303, "/account/password")
        assert again.signed_in
    # Clients sign in with the password or a token: the factor is for the pages.
    assert status(registry, "/v2/", alice, PASSWORD) == 200


def test_a_recovery_code_is_good_once_and_takes_the_factor_off(registry: Running, alice: str, person: Person) -> None:
    person.sign_in(alice)
    _, codes = enrol(person)
    person.client.cookies.clear()
    person.sign_in(alice)
    assert person.send("/sign-in/second", code=codes[0].upper().replace("-", " ")).status_code == 303
    assert "9 recovery codes left" in person.get("/account/second-factor").text

    with Person(registry) as again:
        again.sign_in(alice)
        assert again.send("/sign-in/second", code=codes[0]).status_code == 401
    form = person.token("/account/second-factor", "/account/second-factor/codes")
    assert person.client.post("/account/second-factor/remove", data={**form, "code": "000000"}).status_code == 400
    assert person.client.post("/account/second-factor/remove", data={**form, "code": codes[1]}).status_code == 303
    with Person(registry) as free:
        assert free.sign_in(alice).headers["location"] == "/account"
        assert free.signed_in


def test_the_sealed_half_of_a_sign_in_is_of_no_use_elsewhere(registry: Running, alice: str, person: Person) -> None:
    person.sign_in(alice)
    _, codes = enrol(person)
    with Person(registry) as half:
        half.sign_in(alice)
        sealed = half.cookie("pierhead-step-http") or ""
        assert sealed
        with Person(registry) as thief:
            for stolen in (sealed, sealed[:-1] + "x", "x" + sealed, "", "."):
                thief.client.cookies.set("pierhead-http", stolen)
                assert not thief.signed_in
            thief.client.cookies.clear()
            thief.client.cookies.set("pierhead-step-http", sealed[:-2] + "xx")
            assert thief.get("/sign-in/second").headers["location"] == "/sign-in"
        # Another password meanwhile makes it worthless.
        changing = person.send("/account/password", old=PASSWORD, new=ANOTHER, again=ANOTHER)
        assert changing.status_code == 303
        assert half.send("/sign-in/second", code=codes[0]).status_code == 401


def test_sessions_end_after_a_time(tmp_path: Path) -> None:
    accounts = write(tmp_path / "auth", argon2("alice", PASSWORD))
    environment = {"PIERHEAD_PAGES_SESSION_IDLE_HOURS": "0.01", "PIERHEAD_PAGES_SESSION_HOURS": "0.02"}
    with serving(tmp_path / "data", "--workers", "1", "--htpasswd", str(accounts), environment=environment) as running:
        with Person(running) as alice:
            alice.sign_in("alice")
            assert "htpasswd file" in alice.get("/account").text
            assert alice.get("/account/password").status_code == 404
            age(running, touched=35, made=35)
            assert alice.signed_in
            age(running, touched=37, made=0)
            assert not alice.signed_in
            alice.sign_in("alice")
            age(running, touched=0, made=73)
            assert not alice.signed_in
            alice.sign_in("alice")
            write(accounts, argon2("bob", PASSWORD))
            time.sleep(1.2)
            assert not alice.signed_in


def age(running: Running, *, touched: int, made: int) -> None:
    """Lets seconds pass over all sessions."""
    moved = f"touched_at = touched_at - {touched}000000, made_at = made_at - {made}000000"
    change(running.data, f"UPDATE sessions SET {moved}")


def test_without_pages_there_are_none(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--workers", "1", environment={"PIERHEAD_PAGES_ENABLED": "false"}) as running:
        for path in ("/", "/sign-in", "/account", "/setup"):
            assert httpx.get(running.url + path).status_code == 404
        assert "/setup?token=" not in running.log.read_text()


def test_a_disabled_user_is_out_at_the_next_request(registry: Running, alice: str, person: Person) -> None:
    person.sign_in(alice)
    assert person.signed_in

    change(registry.data, f"UPDATE principals SET disabled_at = 1 WHERE name = '{alice}'")

    assert not person.signed_in
    assert "This account is disabled." in person.sign_in(alice).text
