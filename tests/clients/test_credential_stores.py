"""Where clients keep what they signed in with: docker's file, with a refresh token, and docker's credential helpers."""

import base64
import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.access.hashed import fast, write
from tests.clients import docker_clients, signing_in
from tests.clients.dockerd import Dockerd
from tests.clients.guarded import ADMIN, READER, Guarded
from tests.clients.image import Image
from tests.clients.programs import Program
from tests.clients.signing_in import CLIENTS, Client
from tests.running import Running, serving

# The protocol of docker-credential-helpers: a word as argument, a host or JSON as standard input.
HELPER = """\
#!/bin/sh
kept="$HOME/kept.json"
case "$1" in
    store) cat > "$kept" ;;
    get) cat "$kept" 2> /dev/null || { echo "credentials not found in native keychain"; exit 1; } ;;
    erase) rm -f "$kept" ;;
    list) echo "{}" ;;
esac
"""


def with_helper(program: Program) -> Program:
    """With `docker-credential-pier` on its way."""
    assert program.folder
    helper = program.folder / "bin/docker-credential-pier"
    helper.parent.mkdir(exist_ok=True)
    helper.write_text(HELPER)
    helper.chmod(helper.stat().st_mode | stat.S_IXUSR)
    path = os.pathsep.join([str(helper.parent), program.environment["PATH"]])
    return replace(program, environment={**program.environment, "PATH": path})


def configure(program: Program, **settings: Any) -> Path:
    """Docker's file in its home."""
    assert program.folder
    path = program.folder / ".docker/config.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(settings))
    return path


@pytest.fixture
def docker(dockerd: Dockerd, fresh_home: Path) -> Program:
    return with_helper(docker_clients.docker(docker_clients.paths()[-1], fresh_home, dockerd))


def sign_in(docker: Program, host: str, account: signing_in.Account) -> str:
    return docker("login", "--username", account[0], "--password-stdin", host, stdin=account[1].encode())


def pull(docker: Program, name: str) -> None:
    docker("pull", name)
    docker("rmi", name)


# What docker keeps


def test_docker_keeps_a_refresh_token_in_place_of_a_password(docker: Program, guarded: Guarded) -> None:
    path = configure(docker)
    sign_in(docker, guarded.host, READER)
    kept = json.loads(path.read_text())["auths"][guarded.host]
    pull(docker, f"{guarded.host}/team/app:1")

    assert kept["identitytoken"].startswith("phd_refresh_")
    assert base64.b64decode(kept["auth"]).decode() == f"{READER[0]}:"
    assert READER[1] not in path.read_text()


def test_docker_keeps_a_token_as_it_is(docker: Program, guarded: Guarded) -> None:
    personal = guarded.token(READER[0])
    path = configure(docker)
    sign_in(docker, guarded.host, personal.account)
    kept = json.loads(path.read_text())["auths"][guarded.host]

    assert "identitytoken" not in kept
    assert base64.b64decode(kept["auth"]).decode() == ":".join(personal.account)


def test_a_helper_keeps_it_and_forgets_it(docker: Program, guarded: Guarded) -> None:
    path = configure(docker, credsStore="pier")
    helped = path.parents[1] / "kept.json"
    sign_in(docker, guarded.host, READER)
    kept = json.loads(helped.read_text())
    pull(docker, f"{guarded.host}/team/app:1")
    docker("logout", guarded.host)
    docker.refused("pull", f"{guarded.host}/team/app:1")

    assert kept["Username"] == "<token>"
    assert kept["Secret"].startswith("phd_refresh_")
    assert "phd_" not in path.read_text()
    assert not helped.exists()


def test_docker_is_out_when_its_refresh_token_is_revoked(docker: Program, guarded: Guarded) -> None:
    path, name = configure(docker), f"{guarded.host}/team/app:1"
    sign_in(docker, guarded.host, READER)
    kept = json.loads(path.read_text())["auths"][guarded.host]["identitytoken"]
    pull(docker, name)
    revoked = guarded.command("token", "revoke", kept.split("_")[2])
    said = docker.refused("pull", name)
    sign_in(docker, guarded.host, READER)
    pull(docker, name)

    assert revoked["revoked"] is True
    assert "this refresh token has ended, or was revoked" in said


# What others read of it


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, fresh_home: Path, image: Image, guarded: Guarded) -> Client:
    made = CLIENTS[request.param](fresh_home, image, guarded.host)
    return replace(made, program=with_helper(made.program))


def test_a_helper_gives_a_token_to_every_client(client: Client, guarded: Guarded) -> None:
    personal, private = guarded.token(READER[0]), f"{guarded.host}/team/{client.published}"
    path = configure(client.program, credHelpers={guarded.host: "pier"})
    told = {"ServerURL": guarded.host, "Username": personal.owner, "Secret": personal.text}
    client.pull(client.cannot, private)
    (path.parents[1] / "kept.json").write_text(json.dumps(told))

    client.pull(client.does, private)
    personal.revoke()
    assert client.reason("this token was revoked") in client.pull(client.cannot, private)


def test_docker_s_refresh_token_lets_every_client_in(
    client: Client, guarded: Guarded, refresh: Callable[[], str]
) -> None:
    private = f"{guarded.host}/team/{client.published}"
    auth = base64.b64encode(f"{READER[0]}:".encode()).decode()
    configure(client.program, auths={guarded.host: {"auth": auth, "identitytoken": refresh()}})

    client.pull(client.does, private)
    client.push(client.cannot, f"{guarded.host}/team/strange:1")


@pytest.fixture
def refresh(guarded: Guarded) -> Callable[[], str]:
    """A refresh token as docker gets them."""

    def get() -> str:
        query = {"service": "pierhead", "offline_token": "true", "client_id": "docker"}
        token: str = httpx.get(f"{guarded.server.url}/token", params=query, auth=READER).json()["refresh_token"]
        return token

    return get


# Where strangers pull


@pytest.fixture(scope="module")
def open_to_strangers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("strangers")
    accounts = write(folder / "auth", fast(*ADMIN))
    with serving(folder / "data", "--workers", "1", "--htpasswd", str(accounts), "--allow-anonymous") as server:
        yield server


def test_docker_signs_in_where_strangers_may_pull(
    dockerd: Dockerd, fresh_home: Path, image: Image, open_to_strangers: Running
) -> None:
    host = open_to_strangers.host
    client = signing_in.docker(fresh_home, image, dockerd)
    wrong = client.sign_in_in_vain(host, (ADMIN[0], "wrong"))
    stranger = client.push(client.cannot, f"{host}/team/app:1")
    client.sign_in(host, ADMIN)
    client.push(client.does, f"{host}/team/app:1")
    client.logout(client.does, host)
    client.pull(client.does, f"{host}/team/app:1")
    client.push(client.cannot, f"{host}/team/app:2")

    assert "wrong name or password" in wrong
    assert "denied" in stranger


def test_docker_says_that_a_guesser_has_to_wait(
    dockerd: Dockerd, fresh_home: Path, image: Image, open_to_strangers: Running
) -> None:
    client = signing_in.docker(fresh_home, image, dockerd)
    said = [client.sign_in_in_vain(open_to_strangers.host, ("somebody", f"guess {number}")) for number in range(7)]

    assert "wrong name or password" in said[0]
    assert "toomanyrequests: too many requests; wait a little" in said[-1]
