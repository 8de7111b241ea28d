"""`pierhead user`, `team`, `robot`, `token`, `role`, `grant`, `project`, `repository`: before and beside a server."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.test_main import pierhead
from tests.nodes.cluster import manifest, push, push_blob
from tests.running import Running, serving

PASSWORD = "a longer sentence"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@dataclass(frozen=True, slots=True)
class Place:
    running: Running

    def run(self, *arguments: str) -> str:
        return run(self.running.data, *arguments)

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))

    def refused(self, *arguments: str, code: int = 1) -> str:
        ran = pierhead(*arguments, "--data", str(self.running.data))
        assert ran.returncode == code, ran.stdout
        assert not ran.stdout
        return ran.stderr

    def status(self, name: str, secret: str, path: str = "/v2/") -> int:
        return httpx.get(self.running.url + path, auth=(name, secret), timeout=30).status_code

    async def push(self, name: str, secret: str, repository: str) -> int:
        async with httpx.AsyncClient(base_url=self.running.url, auth=(name, secret), timeout=30) as client:
            await push_blob(client, repository)
            return (await push(client, repository, "v1", manifest("a"))).status_code


def run(data: Path, *arguments: str, typed: str = "") -> str:
    """With something on standard input, as a script would give it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PIERHEAD_")}
    command = [sys.executable, "-m", "pierhead.cli.main", *arguments, "--data", str(data)]
    ran = subprocess.run(command, input=typed, capture_output=True, text=True, timeout=60, check=False, env=clean)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A registry whose administrator was there before it was first started."""
    data = tmp_path_factory.mktemp("accounts") / "data"
    made = run(data, "user", "create", "root", "--admin", "--password-stdin", typed=f"{PASSWORD}\n")
    assert made == "made root, an administrator\n"
    with serving(data, "--workers", "1") as running:
        yield Place(running)


@pytest.mark.anyio
async def test_an_account_that_was_made_first_closes_the_registry(place: Place) -> None:
    assert place.status("", "") == 401
    assert place.status("root", "another sentence") == 401
    assert place.status("root", PASSWORD) == 200
    assert await place.push("root", PASSWORD, "first/app") == 201


def test_a_password_is_never_an_argument_and_is_asked_for_by_a_terminal_alone(place: Place) -> None:
    told = place.refused("user", "create", "nobody")

    assert "--password-stdin" in told
    assert "unexpected extra argument" in place.refused("user", "create", "nobody", PASSWORD, code=2)
    assert "nobody" not in place.run("user", "list")


def test_a_user_is_made_granted_shown_and_shut_out(place: Place) -> None:
    run(place.running.data, "user", "create", "ann", "--display", "Ann", "--password-stdin", typed=f"{PASSWORD}\n")
    place.run("project", "create", "ann-team")
    given = place.run("grant", "add", "writer", "--to", "ann", "--on", "ann-team/web/**")
    shown = place.json("user", "show", "ann")

    assert given == "ann is writer on ann-team/web/**\n"
    assert (shown["display"], shown["password"], shown["disabled_at"]) == ("Ann", True, None)
    assert [(one["role"], one["project"], one["pattern"]) for one in shown["grants"]] == [
        ("writer", "ann-team", "web/**")
    ]
    assert place.status("ann", PASSWORD) == 200
    place.run("user", "disable", "ann")
    assert place.status("ann", PASSWORD) == 401
    place.run("user", "enable", "ann")
    assert place.status("ann", PASSWORD) == 200
    place.run("user", "delete", "ann")
    assert place.status("ann", PASSWORD) == 401
    assert "there is no user, team or robot of this name: ann" in place.refused("user", "show", "ann")


@pytest.mark.anyio
async def test_a_robot_pushes_and_its_secret_is_rotated_without_a_gap(place: Place) -> None:
    place.run("project", "create", "ci-team")
    first = place.run("robot", "create", "ci-team+ci", "--role", "writer", "--expires", "90d").strip()
    pushed = await place.push("ci-team+ci", first, "ci-team/app")

    second = place.json("robot", "rotate", "ci-team+ci", "--overlap", "1h")["token"]
    both = place.status("ci-team+ci", first), place.status("ci-team+ci", second)
    told = place.refused("robot", "rotate", "ci-team+ci")
    tokens = place.json("token", "list", "ci-team+ci")["tokens"]
    place.run("token", "revoke", str(tokens[0]["id"]))

    assert pushed == 201
    assert both == (200, 200)
    assert "choose with --secret ID" in told
    assert tokens[0]["used_from"] == "127.0.0.1"
    assert all("token" not in one for one in tokens)
    assert (place.status("ci-team+ci", first), place.status("ci-team+ci", second)) == (401, 200)


def test_a_token_may_less_than_its_owner(place: Place) -> None:
    token = place.run("token", "create", "root", "--name", "laptop", "--verb", "pull", "--expires", "30d").strip()

    assert token.startswith("phd_pat_")
    assert place.status("root", token) == 200
    assert place.status("root", token, "/v2/_catalog") == 200
    listed = place.run("token", "list", "root")
    assert "laptop" in listed
    assert token.rpartition("_")[2] not in listed
    assert "no such verb; there are pull" in place.refused(
        "token", "create", "root", "--name", "other", "--verb", "pul", code=2
    )


def test_roles_and_teams_are_made_and_say_what_holds_them(place: Place) -> None:
    place.run("role", "create", "cleaner", "pull", "tag.delete")
    place.run("team", "create", "ops", "--group", "ldap:corp=operators")
    place.run("grant", "add", "cleaner", "--to", "@ops", "--system")

    assert "cleaner is held by @ops" in place.refused("role", "delete", "cleaner")
    assert place.json("team", "show", "ops")["group"] == "operators"
    place.run("team", "add", "ops", "root")
    assert place.json("user", "show", "root")["teams"] == ["@ops"]
    place.run("grant", "remove", "cleaner", "--to", "@ops", "--system")
    place.run("role", "delete", "cleaner")
    assert [one["name"] for one in place.json("role", "list") if one["custom"]] == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("grant", "add", "reader", "--on", "team"), "say to whom: --to NAME, or --everyone"),
        (("grant", "add", "reader", "--everyone"), "say where: --on PLACE, or --system"),
        (("grant", "add", "reader", "--everyone", "--to", "root", "--system"), "say to whom"),
        (("grant", "remove"), "give a role, or --id"),
    ],
)
def test_a_grant_says_to_whom_and_where(place: Place, arguments: tuple[str, ...], told: str) -> None:
    assert told in place.refused(*arguments, code=2)


@pytest.mark.anyio
async def test_an_old_name_goes_on_to_work(place: Place) -> None:
    assert await place.push("root", PASSWORD, "before/app") == 201

    told = place.run("project", "rename", "before", "after")
    pulled = place.status("root", PASSWORD, "/v2/before/app/manifests/v1")
    pushed = await place.push("root", PASSWORD, "before/app")
    place.run("repository", "rename", "after/app", "after/web/app")
    again = place.status("root", PASSWORD, "/v2/after/app/manifests/v1")

    assert told == "before is called after now, and leads there\n"
    assert (pulled, pushed, again) == (200, 201, 200)
    assert {one["name"]: one["target"] for one in place.json("project", "alias", "list")["aliases"]} == {
        "before": "after",
        "after/app": "after/web/app",
    }
    place.run("project", "alias", "remove", "before")
    assert place.status("root", PASSWORD, "/v2/before/app/manifests/v1") == 404


@pytest.mark.anyio
async def test_everybody_pulls_from_what_is_public(place: Place) -> None:
    assert await place.push("root", PASSWORD, "shown/app") == 201

    private = pulled_by_anybody(place, "shown/app")
    place.run("project", "visibility", "shown", "public")
    public = pulled_by_anybody(place, "shown/app")
    place.run("repository", "visibility", "shown/app", "private")

    assert (private, public) == (401, 200)
    assert place.json("project", "show", "shown")["visibility"] == "public"
    assert pulled_by_anybody(place, "shown/app") == 401


def pulled_by_anybody(place: Place, repository: str) -> int:
    """As clients do who have no account."""
    with httpx.Client(base_url=place.running.url, timeout=30) as client:
        asked = client.get("/token", params={"service": "pierhead", "scope": f"repository:{repository}:pull"})
        bearer = {"authorization": f"Bearer {asked.json()['token']}"}
        return client.get(f"/v2/{repository}/manifests/v1", headers=bearer).status_code


def test_a_key_that_became_known_is_replaced(place: Place) -> None:
    asked = httpx.get(f"{place.running.url}/token?scope=registry:catalog:*", auth=("root", PASSWORD), timeout=30)
    bearer = {"authorization": f"Bearer {asked.json()['token']}"}
    before = httpx.get(f"{place.running.url}/v2/", headers=bearer, timeout=30).status_code

    kid = place.json("token", "replace-key")["kid"]
    time.sleep(1.2)  # workers look once a second

    assert before == 200
    assert httpx.get(f"{place.running.url}/v2/", headers=bearer, timeout=30).status_code == 401
    published = httpx.get(f"{place.running.url}/token/keys", timeout=30).json()["keys"]
    assert [key["kid"] for key in published] == [kid]
