"""docker login and what it opens, with password files that the real htpasswd writes."""

import base64
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests import components
from tests.clients import docker_clients, exactness
from tests.clients.dockerd import Dockerd
from tests.clients.image import Image
from tests.clients.programs import Program, program
from tests.running import Running, serving

USER, PASSWORD = "admin", "correct horse"


@pytest.fixture(scope="module", params=["apr1", "bcrypt"])
def guarded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with one account, in the format that htpasswd writes by itself and in that of -B."""
    folder = tmp_path_factory.mktemp(request.param)
    # -i: the password comes from standard input.
    options = ["-c", "-i", "-B"] if request.param == "bcrypt" else ["-c", "-i"]
    program("htpasswd", folder)(*options, folder / "auth", USER, stdin=PASSWORD.encode())
    assert (folder / "auth").read_text().startswith(f"{USER}:{'$2y$' if request.param == 'bcrypt' else '$apr1$'}")
    with serving(folder / "data", "--workers", "2", "--htpasswd", str(folder / "auth")) as server:
        yield server


@pytest.fixture(params=docker_clients.paths())
def docker(request: pytest.FixtureRequest, tmp_path: Path, dockerd: Dockerd, image: Image) -> Program:
    """A docker that nobody logged in yet."""
    components.require("htpasswd")
    docker = docker_clients.docker(request.param, tmp_path, dockerd)
    docker("load", "--input", image.archive)
    return docker


def test_who_logs_in_pushes_and_pulls(docker: Program, guarded: Running, image: Image) -> None:
    name = f"{guarded.host}/guarded/image:1"
    said = docker("login", "--username", USER, "--password-stdin", guarded.host, stdin=PASSWORD.encode())
    kept = Path(docker.environment["DOCKER_CONFIG"], "config.json").read_text()
    docker("tag", image.name, name)
    docker("push", name)
    docker("rmi", name)
    docker("pull", name)
    docker("rmi", name)
    docker("logout", guarded.host)
    refused = docker.refused("pull", name)

    with httpx.Client(base_url=guarded.url, auth=(USER, PASSWORD)) as client:
        exactness.read(client, "guarded/image", "1")
    assert "Login Succeeded" in said
    assert "phd_refresh_" in kept
    assert base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode() not in kept
    assert "denied: requested access to the resource is denied" in refused


def test_a_wrong_password_is_refused(docker: Program, guarded: Running) -> None:
    said = docker.refused("login", "--username", USER, "--password-stdin", guarded.host, stdin=b"wrong horse")

    assert "unauthorized: wrong name or password" in said
    assert "Login Succeeded" not in said


def test_who_does_not_log_in_pushes_nothing(docker: Program, guarded: Running, image: Image) -> None:
    name = f"{guarded.host}/guarded/stranger:1"
    docker("tag", image.name, name)
    refused = docker.refused("push", name)
    docker("rmi", name)

    with httpx.Client(base_url=guarded.url, auth=(USER, PASSWORD)) as client:
        assert client.get("/v2/guarded/stranger/tags/list").status_code == 404
    assert "denied: requested access to the resource is denied" in refused


def test_what_articles_show_works_on_an_empty_store(docker: Program, tmp_path: Path) -> None:
    """`htpasswd -Bc auth admin`, start, `docker login`, push, pull; the password is typed, as there."""
    typed(["htpasswd", "-Bc", "auth", USER], tmp_path, "New password: ", "Re-type new password: ")
    with serving(tmp_path / "data", "--htpasswd", str(tmp_path / "auth")) as server:
        name = f"{server.host}/team/app:1"
        stranger = docker.refused("pull", name)
        docker("login", "--username", USER, "--password-stdin", server.host, stdin=PASSWORD.encode())
        docker("tag", "greeting:1", name)
        docker("push", name)
        docker("rmi", name)
        docker("pull", name)
        docker("rmi", name)
        docker("logout", server.host)
        docker.refused("pull", name)

    assert "denied" in stranger


def typed(command: list[str], folder: Path, *prompts: str) -> None:
    """Runs a command at a terminal and types the password at each prompt."""
    ours, its = pty.openpty()
    path = components.require(command[0])
    with os.fdopen(ours, "r+b", buffering=0) as terminal:
        process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", path, *command[1:]], cwd=folder, stdin=its, stdout=its, stderr=its
        )
        os.close(its)
        for prompt in prompts:
            shown = b""
            while not shown.endswith(prompt.encode()):
                shown += terminal.read(64)
            terminal.write(f"{PASSWORD}\n".encode())
        assert process.wait(20) == 0
