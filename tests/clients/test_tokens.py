"""Signing in by tokens, with each client: private and public repositories, readers, strangers, tokens that end."""

from pathlib import Path

import httpx
import pytest

from tests.clients import signing_in
from tests.clients.guarded import ADMIN, READER, ROBOT, Guarded
from tests.clients.image import Image
from tests.clients.programs import Program, program
from tests.clients.signing_in import CLIENTS, Client


@pytest.fixture(params=[*CLIENTS, "docker"])
def client(request: pytest.FixtureRequest, fresh_home: Path, image: Image, guarded: Guarded) -> Client:
    if request.param == "docker":
        return signing_in.docker(fresh_home, image, request.getfixturevalue("dockerd"))
    return CLIENTS[request.param](fresh_home, image, guarded.host)


def test_everybody_does_what_he_may_and_nothing_else(client: Client, guarded: Guarded) -> None:
    host, name = guarded.host, client.program.path.name
    private, public = f"{host}/team/{client.published}", f"{host}/open/{client.published}"

    client.pull(client.does, public)
    client.pull(client.cannot, private)
    client.push(client.cannot, f"{host}/open/strange:1")
    assert client.refusal in client.sign_in_in_vain(host, (READER[0], "wrong"))
    client.pull(client.cannot, private)
    client.sign_in(host, READER)
    client.pull(client.does, private)
    assert "Failed to parse" not in client.push(client.cannot, f"{host}/team/strange:1")
    client.push(client.cannot, f"{host}/open/mine:1")
    client.logout(client.does, host)
    client.pull(client.cannot, private)
    client.sign_in(host, ADMIN)
    client.push(client.does, f"{host}/team/{name}:1")
    client.push(client.does, f"{host}/fresh-{name}/app:1")
    client.pull(client.does, private)


def test_tokens_of_all_kinds_are_passwords_until_they_end(client: Client, guarded: Guarded) -> None:
    host = guarded.host
    private, mine = f"{host}/team/{client.published}", f"{host}/team/by-{client.program.path.name}:1"

    personal = guarded.token(READER[0])
    client.sign_in(host, personal.account)
    client.pull(client.does, private)
    client.push(client.cannot, mine)
    personal.revoke()
    assert client.reason("this token was revoked") in client.pull(client.cannot, private)
    client.sign_in_in_vain(host, personal.account)
    client.logout(client.does, host)

    robot = guarded.token(ROBOT, "robot")
    client.sign_in(host, robot.account)
    client.push(client.does, mine)
    client.pull(client.does, private)
    robot.expire()
    assert client.reason("this token has expired") in client.push(client.cannot, mine)
    client.sign_in_in_vain(host, robot.account)

    client.sign_in(host, ("workflow", guarded.workflow_token()))
    client.push(client.does, mine)
    client.sign_in_in_vain(host, ("workflow", guarded.workflow_token(repository="evil/app")))


@pytest.fixture(scope="module")
def ctr(containerd: str, home: Path) -> Program:
    return program("ctr", home, "--address", containerd)


PULL = ("images", "pull", "--snapshotter", "native", "--plain-http")
PUSH = ("images", "push", "--plain-http")


def test_containerd_signs_in_with_each_request(ctr: Program, guarded: Guarded, image: Image) -> None:
    name, mine = f"{guarded.host}/team/app:1", f"{guarded.host}/team/containerd:1"
    ctr.refused(*PULL, name)
    wrong = ctr.refused(*PULL, "--user", f"{READER[0]}:wrong", name)
    ctr(*PULL, f"{guarded.host}/open/app:1")
    ctr(*PULL, "--user", ":".join(READER), name)
    ctr("images", "tag", "--force", name, mine)
    ctr.refused(*PUSH, "--user", ":".join(READER), mine)
    ctr(*PUSH, "--user", ":".join(ADMIN), mine)

    url = f"{guarded.server.url}/v2/team/containerd/manifests/1"
    digest = httpx.head(url, auth=ADMIN).headers["docker-content-digest"]
    assert digest == image.digest
    assert "401 Unauthorized" in wrong


def test_containerd_takes_tokens_until_they_end(ctr: Program, guarded: Guarded) -> None:
    name, mine = f"{guarded.host}/team/app:1", f"{guarded.host}/team/by-containerd:1"
    personal, robot = guarded.token(READER[0]), guarded.token(ROBOT, "robot")
    ctr(*PULL, "--user", ":".join(personal.account), name)
    personal.revoke()
    revoked = ctr.refused(*PULL, "--user", ":".join(personal.account), name)
    ctr("images", "tag", "--force", name, mine)
    ctr(*PUSH, "--user", ":".join(robot.account), mine)
    robot.expire()
    expired = ctr.refused(*PUSH, "--user", ":".join(robot.account), mine)
    ctr(*PULL, "--user", f"workflow:{guarded.workflow_token()}", mine)

    assert "401 Unauthorized" in revoked
    assert "401 Unauthorized" in expired
