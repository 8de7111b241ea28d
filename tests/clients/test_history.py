"""Whom the history names after clients have pushed, and what they show of a tag that is pinned."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_main import pierhead
from tests.clients.dockerd import Dockerd
from tests.clients.image import Image
from tests.clients.programs import program
from tests.running import Running

REASON = "in production until the audit"


def history(server: Running, repository: str) -> list[dict[str, Any]]:
    ran = pierhead("history", repository, "--data", str(server.data), "--json")
    assert ran.returncode == 0, ran.stderr
    found: list[dict[str, Any]] = json.loads(ran.stdout)["entries"]
    return found


def pin(server: Running, reference: str) -> None:
    assert pierhead("pin", "add", reference, "--reason", REASON, "--data", str(server.data)).returncode == 0


@pytest.mark.parametrize("name", ["crane", "skopeo"])
def test_the_history_names_the_client(server: Running, image: Image, home: Path, name: str) -> None:
    client = program(name, home)
    if name == "crane":
        client("push", image.layout, f"{server.host}/history/crane:1")
    else:
        client(
            "copy", "--dest-tls-verify=false", f"oci:{image.layout}:latest", f"docker://{server.host}/history/skopeo:1"
        )

    [entry] = history(server, f"history/{name}:1")
    assert (entry["action"], entry["after"]["digest"]) == ("created", image.digest)
    assert entry["agent"].startswith(f"{name}/")
    assert (entry["actor"], entry["credential"], entry["address"]) == ("anonymous", "none", "127.0.0.1")


def test_crane_and_skopeo_tell_why_a_pinned_tag_does_not_move(
    server: Running, image: Image, large_image: Image, home: Path
) -> None:
    crane, skopeo = program("crane", home), program("skopeo", home)
    crane("push", image.layout, f"{server.host}/pinned/app:1")
    pin(server, "pinned/app:1")

    for said in (
        crane.refused("push", large_image.layout, f"{server.host}/pinned/app:1"),
        crane.refused("delete", f"{server.host}/pinned/app:1"),
        skopeo.refused(
            *("copy", "--dest-tls-verify=false", f"oci:{large_image.layout}"),
            f"docker://{server.host}/pinned/app:1",
        ),
    ):
        assert REASON in said
    assert crane("digest", f"{server.host}/pinned/app:1").strip() == image.digest


def test_docker_is_named_and_tells_why_a_pinned_tag_does_not_move(
    server: Running, image: Image, large_image: Image, home: Path, dockerd: Dockerd
) -> None:
    docker = program("docker", home, DOCKER_HOST=dockerd.address)
    name = f"{server.host}/history/docker:1"
    docker("load", "--quiet", "--input", image.archive)
    docker("tag", image.name, name)
    docker("push", name)
    assert history(server, "history/docker:1")[0]["agent"].startswith("docker/")
    pin(server, "history/docker:1")
    docker("load", "--quiet", "--input", large_image.archive)
    docker("tag", large_image.name, name)

    said = docker.refused("push", name)
    assert "denied: this is pinned" in said
    assert REASON in said
