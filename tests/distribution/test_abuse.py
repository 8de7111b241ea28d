"""What somebody tries who wants more than he has: tokens that ended, odd scopes, layers of others."""

import time
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.distribution.guarded import ANN, EVIL, Guarded, opened
from tests.distribution.wire import ask, refused, sha256

# Tokens that ended


def test_a_token_that_was_revoked_is_of_no_use_in_any_form_and_at_any_step(guarded: Guarded) -> None:
    personal = guarded.tokens["whole"]
    identifier = personal.split("_")[2]
    bearer = guarded.token("repository:own/app:pull,push", "repository:team/app:pull", auth=(ANN[0], personal))
    path = "/v2/team/app/manifests/1"
    forms = {"bearer": f"Bearer {bearer}", "itself": f"Bearer {personal}"}

    with httpx.Client(base_url=guarded.url, headers={"authorization": forms["bearer"]}) as client:
        assert client.get(path).status_code == 200
        session = client.post("/v2/own/app/blobs/uploads/").headers["location"]
        assert client.patch(session, content=b"first").status_code == 202
        guarded.change(f"UPDATE tokens SET revoked_at = 1 WHERE id = {identifier}")

        # On the same connection, in the middle of an upload, and at whichever worker.
        refused(client.patch(session, content=b"second"), 401, "UNAUTHORIZED")
        refused(client.put(f"{session}?digest={guarded.layer}"), 401, "UNAUTHORIZED")
        refused(client.get(path), 401, "UNAUTHORIZED")
    for header in forms.values():
        for _ in range(4):
            assert guarded.ask("GET", path, headers={"authorization": header}).status_code == 401
    refused(guarded.ask("GET", path, auth=(ANN[0], personal)), 401, "UNAUTHORIZED")
    refused(guarded.answer("repository:team/app:pull", auth=(ANN[0], personal)), 401, "UNAUTHORIZED", "revoked")


def test_a_bearer_token_ends_with_the_token_that_got_it(guarded: Guarded) -> None:
    brief = guarded.tokens["brief"]
    bearer = guarded.token("repository:team/app:pull", auth=(ANN[0], brief))
    path = "/v2/team/app/manifests/1"
    assert guarded.ask("GET", path, bearer=bearer).status_code == 200

    guarded.change(f"UPDATE tokens SET expires_at = {int(time.time() * 1e6)} WHERE id = {brief.split('_')[2]}")

    refused(guarded.ask("GET", path, bearer=bearer), 401, "UNAUTHORIZED")
    refused(guarded.answer("repository:team/app:pull", auth=(ANN[0], brief)), 401, "UNAUTHORIZED", "expired")


# Scopes


@pytest.mark.parametrize(
    ("scope", "given"),
    [
        ("repository:team/app:pull,*", {"repository:team/app": ["pull"]}),
        ("repository:team/app:*,pull", {"repository:team/app": ["pull"]}),
        ("repository:team/app:pull,push,delete,*,admin", {"repository:team/app": ["pull"]}),
        ("repository:team/app:pull repository:lone/app:*", {"repository:team/app": ["pull"]}),
        ("repository:lone/app:pull,*", {}),
        ("repository:*:*", {}),
        ("repository:team/*:pull", {}),
        ("repository:team/**:pull", {}),
        ("repository:team:pull", {"repository:team": ["pull"]}),
        ("repository:team/app,lone/app:pull", {}),
        ("repository:team/app:lone/app:pull", {}),
        ("repository:team/../lone/app:pull", {}),
        ("repository:team/app/../../lone/app:pull", {}),
        ("repository:team//app:pull", {}),
        ("repository:/team/app:pull", {}),
        ("repository:team%2Fapp:pull", {}),
        ("repository:team\\app:pull", {}),
        ("repository:team/app:pull\n", {}),
        ("repository:team/app\t:pull", {}),
        ("repository:TEAM/app:pull", {}),
        ("repository:team/app:PULL", {}),
        ("REPOSITORY:team/app:pull", {}),
        ("registry:catalog:pull", {}),
        ("registry:*:*", {}),
        ("", {}),
        # Letters that look like others: Cyrillic, full width, composed, a long s, a dotless i, nothing at all.
        ("repository:t\u0435am/app:pull", {}),
        ("repository:\uff54eam/app:pull", {}),
        ("repository:team\uff0fapp:pull", {}),
        ("repository:te\u0301am/app:pull", {}),
        ("repository:open/ap\u017f:pull", {}),
        ("repository:team/app\u200b:pull", {}),
        ("repository:team/app\u00ad:pull", {}),
        ("repository\uff1ateam/app\uff1apull", {}),
        ("repository:team/app:pu\uff4cl", {}),
        # Hosts: its own is understood, another one is a name that means nothing.
        (f"repository:{EVIL}/lone/app:pull", {}),
        (f"repository:{EVIL}:5000/lone/app:pull", {}),
        ("repository:{host}/lone/app:*", {}),
        ("repository:{host}/{host}/lone/app:*", {}),
        ("repository:user@{host}/lone/app:*", {}),
        ("repository:{host}/team/app:pull,*", {"repository:{host}/team/app": ["pull"]}),
    ],
)
def test_a_confused_scope_gives_no_more_than_is_held(guarded: Guarded, scope: str, given: dict[str, list[str]]) -> None:
    host = guarded.server.host
    bearer = guarded.token(scope.replace("{host}", host), auth=ANN)

    assert opened(bearer) == {name.replace("{host}", host): actions for name, actions in given.items()}
    for path in ("/v2/lone/app/tags/list", "/v2/lone/app/manifests/1", "/v2/own/app/tags/list"):
        assert guarded.ask("GET", path, bearer=bearer).status_code == 401
    assert guarded.ask("DELETE", "/v2/team/app/manifests/1", bearer=bearer).status_code == 401
    assert guarded.ask("POST", "/v2/team/app/blobs/uploads/", bearer=bearer).status_code == 401


def test_a_scope_with_a_nul_is_refused(guarded: Guarded) -> None:
    refused(guarded.answer("repository:team/app\0:pull", auth=ANN), 400, "UNSUPPORTED")


@pytest.mark.parametrize("many", [51, 1800])
def test_thousands_of_scopes_are_refused_at_once_and_hold_nobody_up(guarded: Guarded, many: int) -> None:
    wanted = " ".join(f"repository:team/app{number}:pull,push" for number in range(many))
    form = {"grant_type": "password", "username": ANN[0], "password": ANN[1], "service": "pierhead", "scope": wanted}
    began = time.monotonic()
    by_form = guarded.ask("POST", "/token", data=form)
    by_query = ask(guarded.server, "GET", f"/token?scope={quote(wanted)}")

    assert by_form.status_code == 400
    assert by_query.status in (400, 414, 431)
    assert time.monotonic() - began < 5
    assert guarded.ask("GET", "/v2/open/app/tags/list").status_code == 200


# Mounts


def test_nothing_is_mounted_from_where_one_may_not_pull(guarded: Guarded) -> None:
    secret = sha256(b"what only lone/app holds")
    trying = guarded.token("repository:own/app:pull,push", "repository:lone/app:pull", auth=ANN)
    narrow = guarded.token("repository:own/app:pull,push", auth=ANN)
    bounded = guarded.token(
        "repository:own/app:pull,push", "repository:team/app:pull", auth=(ANN[0], guarded.tokens["own"])
    )

    def mounts(digest: str, source: str | None, **proof: Any) -> int:
        query = f"mount={digest}" + (f"&from={source}" if source is not None else "")
        return guarded.ask("POST", f"/v2/own/app/blobs/uploads/?{query}", **proof).status_code

    for source in ("lone/app", None, "", "lone%2Fapp", f"{guarded.server.host}/lone/app", "own/app/../../lone/app"):
        for proof in ({"auth": ANN}, {"bearer": trying}, {"bearer": narrow}, {"auth": (ANN[0], guarded.tokens["own"])}):
            assert mounts(secret, source, **proof) == 202, (source, proof)
    # She may pull it herself; what she came with may not.
    for proof in ({"bearer": narrow}, {"bearer": bounded}, {"auth": (ANN[0], guarded.tokens["own"])}):
        assert mounts(guarded.layer, "team/app", **proof) == 202
        assert mounts(guarded.layer, None, **proof) == 202
    assert guarded.ask("HEAD", f"/v2/own/app/blobs/{secret}", auth=ANN).status_code == 404
    assert guarded.ask("HEAD", f"/v2/own/app/blobs/{guarded.layer}", auth=ANN).status_code == 404
    # And so that it is not refused for another reason:
    assert mounts(guarded.layer, "team/app", auth=ANN) == 201
