"""GET and POST /token, and what the tokens open: a server with accounts, in processes of its own."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from pierhead.metadata.sqlite import engine
from pierhead.registry.documents import OCI_IMAGE
from tests.access.hashed import argon2, fast, write
from tests.distribution.logs import failures
from tests.distribution.wire import Socket, image, push_blob, push_image, refused, sha256
from tests.running import Running, serving

ADMIN, ANN = ("admin", "correct horse"), ("ann", "battery staple")
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Two workers; `team/app` is private, `open/app` public. admin is of the htpasswd file; ann is local, and reads."""
    folder: Path = tmp_path_factory.mktemp("tokens")
    accounts = write(folder / "auth", fast(*ADMIN))
    with serving(folder / "data", "--workers", "2", "--htpasswd", str(accounts), "--access-log", "all") as running:
        with httpx.Client(base_url=running.url, auth=ADMIN) as client:
            for name in ("team/app", "team/other", "open/app", "lone/app"):
                push_image(client, name, "1")
        change(running, "UPDATE projects SET visibility = 'public' WHERE name = 'open'")
        add_ann(running)
        yield running
        log = running.log.read_bytes()
        assert failures(running.log) == []
        for secret in (ADMIN[1], ANN[1], "phd_refresh_", "eyJ"):
            assert secret.encode() not in log


def change(server: Running, sql: str) -> None:
    connection = engine.connect(server.data / "pierhead.db")
    connection.execute(sql)
    connection.close()


def add_ann(server: Running) -> None:
    hashed = argon2(*ANN).partition(":")[2]
    change(
        server,
        f"""
        INSERT INTO principals (kind, name, source, subject, display, email, groups, made_at)
        VALUES ('user', 'ann', 'local', 'ann', '', '', '[]', 0);
        INSERT INTO passwords (principal_id, hashed, version, changed_at)
        SELECT id, '{hashed}', 1, 0 FROM principals WHERE name = 'ann';
        INSERT INTO grants (principal_id, role, project_id, made_at, actor)
        SELECT principals.id, 'reader', projects.id, 0, 'test' FROM principals, projects
         WHERE principals.name = 'ann' AND projects.name = 'team';
        """,
    )


@contextmanager
def undone(server: Running, sql: str, undo: str) -> Iterator[None]:
    change(server, sql)
    try:
        yield
    finally:
        change(server, undo)


def get(server: Running, *wanted: str, auth: tuple[str, str] | None = None, **query: str) -> httpx.Response:
    parameters = [("service", "pierhead"), *(("scope", scope) for scope in wanted), *query.items()]
    return httpx.get(f"{server.url}/token", params=[*parameters], auth=auth)


def post(server: Running, **form: str) -> httpx.Response:
    return httpx.post(f"{server.url}/token", data={"service": "pierhead", "client_id": "test", **form})


def given(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    value: dict[str, Any] = answer.json()
    return value


def token(server: Running, *wanted: str, auth: tuple[str, str] | None = None) -> str:
    found: str = given(get(server, *wanted, auth=auth))["token"]
    return found


def ask(server: Running, bearer: str, path: str, method: str = "GET") -> httpx.Response:
    return httpx.request(method, f"{server.url}{path}", headers={"authorization": f"Bearer {bearer}"})


def opened(bearer: str) -> dict[str, list[str]]:
    access = jwt.decode(bearer, options={"verify_signature": False})["access"]
    return {f"{entry['type']}:{entry['name']}": entry["actions"] for entry in access}


def refresh_token(server: Running) -> str:
    found: str = given(get(server, auth=ANN, offline_token="true", client_id="docker"))["refresh_token"]
    return found


def oauth_refused(answer: httpx.Response, error: str, status: int = 400) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    assert answer.json()["errors"][0]["code"]
    assert answer.headers["cache-control"] == "no-store"
    value: dict[str, Any] = answer.json()
    return value


# The challenge


def test_one_challenge_says_where_to_get_a_token_and_for_what(server: Running) -> None:
    base = f'Bearer realm="{server.url}/token",service="pierhead"'
    for path, method, scope in (
        ("/v2/", "GET", None),
        ("/v2/_catalog", "GET", "registry:catalog:*"),
        ("/v2/team/app/manifests/1", "GET", "repository:team/app:pull"),
        ("/v2/team/app/tags/list", "GET", "repository:team/app:pull"),
        ("/v2/team/app/manifests/1", "DELETE", "repository:team/app:delete"),
        ("/v2/team/app/blobs/uploads/", "POST", "repository:team/app:pull,push"),
        (
            f"/v2/team/app/blobs/uploads/?mount=sha256:{'0' * 64}&from=open/app",
            "POST",
            "repository:team/app:pull,push repository:open/app:pull",
        ),
        ("/v2/team/app/blobs/uploads/?from=A%22,evil", "POST", "repository:team/app:pull,push"),
    ):
        answer = httpx.request(method, f"{server.url}{path}")

        refused(answer, 401, "UNAUTHORIZED")
        assert answer.headers.get_list("www-authenticate") == [base + (f',scope="{scope}"' if scope else "")]


def test_a_token_that_opens_too_little_is_told_so_and_a_false_one_too(server: Running) -> None:
    narrow = token(server, "repository:team/app:pull", auth=ADMIN)

    answers = {
        "insufficient_scope": ask(server, narrow, "/v2/team/other/tags/list"),
        "invalid_token": ask(server, narrow[:-4], "/v2/team/app/tags/list"),
    }

    for error, answer in answers.items():
        refused(answer, 401, "UNAUTHORIZED")
        assert f'error="{error}"' in answer.headers["www-authenticate"]


def test_a_challenge_names_no_source_of_a_mount_that_the_token_opens_already(server: Running) -> None:
    bearer = token(server, "repository:team/app:pull", auth=ANN)

    for source, scope in (
        ("team/app", "repository:lone/app:pull,push"),
        ("team/other", "repository:lone/app:pull,push repository:team/other:pull"),
    ):
        path = f"/v2/lone/app/blobs/uploads/?mount=sha256:{'0' * 64}&from={source}"
        answer = ask(server, bearer, path, "POST")

        refused(answer, 401, "UNAUTHORIZED")
        assert f',scope="{scope}",error="insufficient_scope"' in answer.headers["www-authenticate"]


def test_a_host_that_is_none_is_in_no_challenge(server: Running) -> None:
    for host in ('evil",scope="x', "a b", "", "evil/path"):
        with Socket(server) as raw:
            raw.send(f"GET /v2/ HTTP/1.1\r\nHost: {host}\r\n\r\n")
            answer = raw.answer()

        assert answer.status in (400, 401)
        assert "evil" not in answer.headers.get("www-authenticate", "")


# GET


def test_who_signs_in_gets_what_he_asked_for(server: Running) -> None:
    answer = given(get(server, "repository:team/app:pull,push", auth=ADMIN))

    assert answer["token"] == answer["access_token"]
    assert answer["expires_in"] == 900
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", answer["issued_at"])
    assert answer["scope"] == "repository:team/app:pull,push"
    assert "refresh_token" not in answer
    assert opened(answer["token"]) == {"repository:team/app": ["pull", "push"]}


def test_a_token_opens_that_and_nothing_else(server: Running) -> None:
    narrow = token(server, "repository:team/app:pull", auth=ADMIN)

    assert ask(server, narrow, "/v2/").status_code == 200
    assert ask(server, narrow, "/v2/team/app/tags/list").status_code == 200
    for path, method in (
        ("/v2/team/app/blobs/uploads/", "POST"),
        ("/v2/team/app/manifests/1", "DELETE"),
        ("/v2/team/other/tags/list", "GET"),
        ("/v2/_catalog", "GET"),
    ):
        assert ask(server, narrow, path, method).status_code == 401


def test_a_token_pushes_to_a_project_that_is_not_there_yet(server: Running) -> None:
    bearer = token(server, "repository:fresh/app:pull,push", auth=ADMIN)

    with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {bearer}"}) as client:
        push_image(client, "fresh/app", "1")
        assert client.get("/v2/fresh/app/tags/list").json()["tags"] == ["1"]


def test_what_is_not_held_is_not_given(server: Running) -> None:
    answer = given(
        get(
            server,
            "repository:team/app:pull,push,delete repository:lone/app:*",
            "repository:open/app:pull,push",
            "repository(plugin):team/other:pull",
            "artifact:team/app:pull",
            "repository:TEAM/app:pull",
            auth=ANN,
        )
    )

    assert opened(answer["token"]) == {
        "repository:team/app": ["pull"],
        "repository:open/app": ["pull"],
        "repository:team/other": ["pull"],
    }
    assert answer["scope"] == "repository:team/app:pull repository:open/app:pull repository:team/other:pull"


def test_nobody_in_particular_pulls_what_is_public(server: Running) -> None:
    bearer = token(server, "repository:open/app:pull,push", "repository:team/app:pull", "registry:catalog:*")

    assert opened(bearer) == {"repository:open/app": ["pull"], "registry:catalog": ["*"]}
    assert ask(server, bearer, "/v2/").status_code == 200
    assert ask(server, bearer, "/v2/open/app/manifests/1").status_code == 200
    assert ask(server, bearer, "/v2/team/app/manifests/1").status_code == 401
    assert ask(server, bearer, "/v2/_catalog").json()["repositories"] == ["open/app"]


def test_a_private_repository_and_none_are_answered_alike(server: Running) -> None:
    answers = [given(get(server, f"repository:{name}:pull")) for name in ("team/app", "team/none", "none/app")]

    assert [(answer["scope"], opened(answer["token"])) for answer in answers] == [("", {})] * 3


def test_the_catalog_is_opened_by_its_scope_and_shows_what_may_be_pulled(server: Running) -> None:
    shown = ask(server, token(server, "registry:catalog:*", auth=ANN), "/v2/_catalog").json()["repositories"]

    assert shown == ["open/app", "team/app", "team/other"]


@pytest.mark.parametrize("auth", [("ann", "wrong"), ("nobody", "x"), ("", ""), ("ann", "")])
def test_a_wrong_password_is_refused_in_words_that_docker_shows(server: Running, auth: tuple[str, str]) -> None:
    answer = get(server, "repository:open/app:pull", auth=auth)

    refused(answer, 401, "UNAUTHORIZED")
    assert answer.headers["www-authenticate"].startswith("Basic ")


def test_a_header_that_proves_nothing_is_not_taken_for_none(server: Running) -> None:
    for header in ("Basic", "Basic !!!", "Digest x", "Bearer", "Bearer x", "Negotiate abc"):
        answer = httpx.get(
            f"{server.url}/token",
            params={"scope": "repository:open/app:pull"},
            headers={"authorization": header},
        )
        refused(answer, 401, "UNAUTHORIZED")


def test_nobody_who_wants_nothing_is_asked_to_sign_in(server: Running) -> None:
    refused(get(server), 401, "UNAUTHORIZED")
    assert given(get(server, auth=ANN))["scope"] == ""


def test_a_bearer_token_gets_no_other_one(server: Running) -> None:
    bearer = token(server, "repository:team/app:pull", auth=ADMIN)

    refused(ask(server, bearer, "/token?scope=repository:team/app:pull"), 401, "UNAUTHORIZED")


def test_another_service_is_refused(server: Running) -> None:
    answer = httpx.get(f"{server.url}/token?service=evil&scope=repository:open/app:pull")
    refused(answer, 400, "UNSUPPORTED", "service")
    given(httpx.get(f"{server.url}/token?scope=repository:open/app:pull"))


def test_too_many_scopes_are_refused(server: Running) -> None:
    wanted = " ".join(f"repository:open/app{number}:pull" for number in range(51))
    refused(get(server, wanted), 400, "UNSUPPORTED", "max_scopes")

    long = [f"repository:team/{'x' * 240}{number}:pull,push" for number in range(45)]
    refused(get(server, *long, auth=ADMIN), 400, "UNSUPPORTED")
    oauth_refused(post(server, grant_type="password", username=ANN[0], password=ANN[1], scope=wanted), "invalid_scope")


def test_a_query_that_is_none_is_refused(server: Running) -> None:
    for query in ("scope=%ff", "service=a&service=b", "&".join(["scope=repository:a:pull"] * 300)):
        assert httpx.get(f"{server.url}/token?{query}").status_code == 400


def test_a_scope_with_the_own_host_is_understood(server: Running) -> None:
    bearer = token(server, f"repository:{server.host}/team/app:pull", auth=ANN)

    assert opened(bearer) == {f"repository:{server.host}/team/app": ["pull"]}
    assert ask(server, bearer, "/v2/team/app/tags/list").status_code == 200
    assert opened(token(server, "repository:evil.example:5000/team/app:pull", auth=ANN)) == {}


def test_other_methods_are_refused(server: Running) -> None:
    for method, path, allowed in (("PUT", "/token", "GET, POST"), ("POST", "/token/keys", "GET")):
        answer = httpx.request(method, f"{server.url}{path}")
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert httpx.get(f"{server.url}/token/").status_code == 404


# Revocation


def test_what_is_taken_away_is_taken_from_tokens_too(server: Running) -> None:
    bearer = token(server, "repository:team/app:pull", auth=ANN)
    path = "/v2/team/app/tags/list"
    assert ask(server, bearer, path).status_code == 200

    for sql, undo in (
        ("UPDATE grants SET role = 'none'", "UPDATE grants SET role = 'reader'"),
        (
            "UPDATE principals SET disabled_at = 1 WHERE name = 'ann'",
            "UPDATE principals SET disabled_at = NULL WHERE name = 'ann'",
        ),
        ("UPDATE passwords SET version = 2", "UPDATE passwords SET version = 1"),
    ):
        with undone(server, sql, undo):
            assert ask(server, bearer, path).status_code == 401
        assert ask(server, bearer, path).status_code == 200


@pytest.mark.parametrize("kind", ["manifest", "blob"])
def test_what_is_taken_away_while_a_body_comes_slowly_is_not_held_at_its_end(server: Running, kind: str) -> None:
    content = image(b"{}") if kind == "manifest" else b"a blob"
    way = {
        "manifest": ("PUT", "/v2/team/app/manifests/late"),
        "blob": ("POST", f"/v2/team/app/blobs/uploads/?digest={sha256(content)}"),
    }
    with httpx.Client(base_url=server.url, auth=ADMIN) as client:
        push_blob(client, "team/app", b"{}")
    change(server, "UPDATE grants SET role = 'writer'")
    bearer = token(server, "repository:team/app:pull,push", auth=ANN)
    with Socket(server) as slow:
        headers = f"Authorization: Bearer {bearer}", f"Content-Type: {OCI_IMAGE}", f"Content-Length: {len(content)}"
        slow.request(*way[kind], *headers, body=content[:3])
        time.sleep(0.5)
        change(server, "UPDATE grants SET role = 'reader'")
        time.sleep(0.7)
        answer = slow.send(content[3:]).answer()

    refused(answer, 403, "DENIED")
    with httpx.Client(base_url=server.url, auth=ADMIN) as client:
        assert "late" not in client.get("/v2/team/app/tags/list").json()["tags"]
        assert kind == "manifest" or client.head(f"/v2/team/app/blobs/{sha256(content)}").status_code == 404


def test_a_line_of_the_file_that_goes_takes_its_tokens_along(server: Running) -> None:
    accounts, path = server.data.with_name("auth"), "/v2/team/app/tags/list"
    before = accounts.read_text()
    for lines in ((fast("admin", "another"),), (fast("somebody", "else"),)):
        bearer = token(server, "repository:team/app:pull", auth=ADMIN)
        assert ask(server, bearer, path).status_code == 200
        refresh = given(get(server, auth=ADMIN, offline_token="true"))["refresh_token"]

        write(accounts, *lines)
        time.sleep(1.2)  # each worker looks once a second
        for _ in range(10):
            assert ask(server, bearer, path).status_code == 401
            oauth_refused(post(server, grant_type="refresh_token", refresh_token=refresh), "invalid_grant")

        write(accounts, before.strip())
        time.sleep(1.2)
        assert ask(server, bearer, path).status_code == 200


def test_a_token_does_not_open_the_next_project_of_that_name(server: Running) -> None:
    bearer = token(server, "repository:team/app:pull", auth=ADMIN)

    with undone(
        server,
        "UPDATE projects SET name = 'gone' WHERE name = 'team'; UPDATE projects SET name = 'team' WHERE name = 'lone'",
        "UPDATE projects SET name = 'lone' WHERE name = 'team'; UPDATE projects SET name = 'team' WHERE name = 'gone'",
    ):
        assert ask(server, bearer, "/v2/team/app/tags/list").status_code == 401
    assert ask(server, bearer, "/v2/team/app/tags/list").status_code == 200


# POST


def test_a_password_gets_a_token_by_a_form(server: Running) -> None:
    answer = given(
        post(server, grant_type="password", username=ANN[0], password=ANN[1],
             scope="repository:team/app:pull,push registry:catalog:*")
    )  # fmt: skip

    assert answer["scope"] == "repository:team/app:pull registry:catalog:*"
    assert ask(server, answer["access_token"], "/v2/team/app/tags/list").status_code == 200
    assert "refresh_token" not in answer


def test_a_refresh_token_gets_tokens_without_the_password(server: Running) -> None:
    refresh = given(
        post(server, grant_type="password", username=ANN[0], password=ANN[1], access_type="offline")
    )["refresh_token"]  # fmt: skip

    answer = given(post(server, grant_type="refresh_token", refresh_token=refresh, scope="repository:team/app:pull"))

    assert opened(answer["access_token"]) == {"repository:team/app": ["pull"]}
    assert ask(server, answer["access_token"], "/v2/team/app/tags/list").status_code == 200
    assert "refresh_token" not in answer
    again = post(server, grant_type="refresh_token", refresh_token=refresh, access_type="offline")
    assert given(again)["refresh_token"] == refresh


def test_nobody_in_particular_gets_no_refresh_token(server: Running) -> None:
    assert "refresh_token" in given(get(server, auth=ADMIN, offline_token="true"))
    assert "refresh_token" not in given(get(server, auth=ADMIN, offline_token="false"))
    assert "refresh_token" not in given(get(server, "repository:open/app:pull", offline_token="true"))


def test_a_refresh_token_is_no_password_and_no_bearer_token(server: Running) -> None:
    refresh = refresh_token(server)

    assert ask(server, refresh, "/v2/team/app/tags/list").status_code == 401
    assert httpx.get(f"{server.url}/v2/", auth=("ann", refresh)).status_code == 401
    refused(get(server, "repository:team/app:pull", auth=("ann", refresh)), 401, "UNAUTHORIZED")
    oauth_refused(post(server, grant_type="password", username="ann", password=refresh), "invalid_grant")


@pytest.mark.parametrize(
    ("sql", "undo"),
    [
        ("UPDATE tokens SET revoked_at = 1", "UPDATE tokens SET revoked_at = NULL"),
        ("UPDATE passwords SET version = 2", "UPDATE passwords SET version = 1"),
        ("UPDATE principals SET disabled_at = 1", "UPDATE principals SET disabled_at = NULL"),
    ],
)
def test_a_refresh_token_that_ends_takes_its_tokens_along(server: Running, sql: str, undo: str) -> None:
    refresh = refresh_token(server)
    wanted = {"grant_type": "refresh_token", "refresh_token": refresh, "scope": "repository:team/app:pull"}
    bearer = given(post(server, **wanted))["access_token"]

    with undone(server, sql, undo):
        oauth_refused(post(server, **wanted), "invalid_grant")
        assert ask(server, bearer, "/v2/team/app/tags/list").status_code == 401
    assert ask(server, bearer, "/v2/team/app/tags/list").status_code == 200


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "password"}, "invalid_request"),
        ({"grant_type": "password", "username": "ann"}, "invalid_request"),
        ({"grant_type": "password", "username": "ann", "password": "wrong"}, "invalid_grant"),
        ({"grant_type": "password", "username": "nobody", "password": "x"}, "invalid_grant"),
        ({"grant_type": "password", "username": "ann:battery staple", "password": "x"}, "invalid_grant"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "phd_refresh_1_" + "0" * 49}, "invalid_grant"),
        ({"grant_type": "authorization_code", "code": "x"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
    ],
)
def test_a_form_that_proves_nothing_is_refused_as_oauth_has_it(
    server: Running, form: dict[str, str], error: str
) -> None:
    oauth_refused(post(server, **form), error)


def test_another_service_is_refused_in_a_form_too(server: Running) -> None:
    answer = post(server, grant_type="password", username=ANN[0], password=ANN[1], service="evil")

    assert "service" in oauth_refused(answer, "invalid_request")["errors"][0]["detail"]


def test_a_form_that_is_none_is_refused(server: Running) -> None:
    def send(content: bytes, kind: str = FORM) -> httpx.Response:
        return httpx.post(f"{server.url}/token", content=content, headers={"content-type": kind})

    sound = b"grant_type=password&username=ann&password=x"
    for answer in (
        send(sound, "application/json"),
        send(b'{"grant_type": "password"}', "application/json"),
        send(sound + b"&username=bob"),
        send(sound + b"&x=%ff"),
        send(sound + b"&x=\xff"),
        send(sound + b"&a=1" * 200),
        send(b"grant_type=password&password=" + b"x" * 100_000),
        send(b""),
    ):
        oauth_refused(answer, "invalid_request")
    oauth_refused(send(sound, f"{FORM}; charset=utf-8"), "invalid_grant")


# Keys


def test_anybody_verifies_tokens_by_the_published_keys(server: Running) -> None:
    bearer = token(server, "repository:team/app:pull", auth=ANN)
    answer = httpx.get(f"{server.url}/token/keys")

    keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(answer.json()).keys}
    found = jwt.decode(
        bearer, keys[jwt.get_unverified_header(bearer)["kid"]], algorithms=["EdDSA"], audience="pierhead"
    )

    assert answer.headers["cache-control"] == "public, max-age=600"
    assert found["sub"] == "ann"
    assert "d" not in answer.json()["keys"][0]


def test_a_form_of_a_page_that_is_cut_is_no_failure_of_the_server(server: Running) -> None:
    headers = f"Content-Type: {FORM}", "Content-Length: 100"
    with Socket(server) as one:
        one.request("POST", "/sign-in", *headers, body=b"name=")
    time.sleep(0.3)

    assert failures(server.log) == []
