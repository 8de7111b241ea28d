"""Layers that the registry holds elsewhere: mounted from where they may be pulled, uploaded from anywhere else."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients import signing_in
from tests.clients.guarded import ADMIN, BUILDER, Guarded
from tests.clients.image import Image, small_image
from tests.clients.programs import program
from tests.clients.signing_in import CLIENTS, Client


@pytest.fixture
def own_image(tmp_path: Path, request: pytest.FixtureRequest) -> Image:
    """With a layer that no other test pushes: clients remember where they saw which."""
    return small_image(tmp_path, request.node.name)


@pytest.fixture
def make(
    request: pytest.FixtureRequest, fresh_home: Path, own_image: Image, guarded: Guarded
) -> Callable[[str], Client]:
    def make(kind: str) -> Client:
        if kind == "docker":
            return signing_in.docker(fresh_home, own_image, request.getfixturevalue("dockerd"))
        return CLIENTS[kind](fresh_home, own_image, guarded.host)

    return make


def came(guarded: Guarded, repository: str) -> list[str]:
    """How each blob came to a repository, by the audit trail."""
    return guarded.values(
        """
        SELECT action FROM events JOIN repositories ON repositories.id = events.repository_id
         WHERE repositories.name = :repository AND action IN ('blob.mounted', 'blob.pushed')
        """,
        repository=repository,
    )


COPIES = {
    "crane": ("copy",),
    "oras": ("cp", "--from-plain-http", "--to-plain-http"),
    "regctl": ("image", "copy"),
}


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_mounts_all(make: Callable[[str], Client], guarded: Guarded, kind: str) -> None:
    client = make(kind)
    client.sign_in(guarded.host, BUILDER)
    client.push(client.does, f"{guarded.host}/own/{kind}:1")

    client.program(*COPIES[kind], f"{guarded.host}/own/{kind}:1", f"{guarded.host}/own/copied-by-{kind}:1")

    assert set(came(guarded, f"own/copied-by-{kind}")) == {"blob.mounted"}


PUSHES = ("docker", "podman", "buildah", "skopeo")


@pytest.mark.parametrize("kind", PUSHES)
def test_a_second_push_mounts_the_layer(make: Callable[[str], Client], guarded: Guarded, kind: str) -> None:
    client = make(kind)
    client.sign_in(guarded.host, BUILDER)
    client.push(client.does, f"{guarded.host}/own/{kind}:1")
    client.push(client.does, f"{guarded.host}/own/again-{kind}:1")

    assert "blob.mounted" in came(guarded, f"own/again-{kind}")


@pytest.mark.parametrize("kind", PUSHES)
def test_what_may_not_be_pulled_is_not_mounted_and_the_push_goes_on(
    make: Callable[[str], Client], guarded: Guarded, kind: str
) -> None:
    client = make(kind)
    client.sign_in(guarded.host, ADMIN)
    client.push(client.does, f"{guarded.host}/team/hidden-{kind}:1")
    client.sign_in(guarded.host, BUILDER)
    client.push(client.does, f"{guarded.host}/own/uploaded-{kind}:1")

    assert set(came(guarded, f"own/uploaded-{kind}")) == {"blob.pushed"}


def test_containerd_mounts_what_may_be_pulled_and_nothing_else(
    containerd: str, home: Path, own_image: Image, guarded: Guarded
) -> None:
    host, crane = guarded.host, CLIENTS["crane"](home, own_image, guarded.host)
    ctr = program("ctr", home, "--address", containerd)
    crane.sign_in(host, ADMIN)
    for source, target in (("own/seen", "own/mounted"), ("team/seen", "own/uploaded")):
        crane.push(crane.does, f"{host}/{source}:1")
        # It remembers of what it pulls where that is, and mounts from there.
        ctr(
            "images", "pull", "--snapshotter", "native", "--plain-http", "--user", ":".join(ADMIN), f"{host}/{source}:1"
        )
        ctr("images", "tag", f"{host}/{source}:1", f"{host}/{target}:1")
        ctr("images", "push", "--plain-http", "--user", ":".join(BUILDER), f"{host}/{target}:1")
        ctr("images", "rm", "--sync", f"{host}/{source}:1", f"{host}/{target}:1")

    assert set(came(guarded, "own/mounted")) == {"blob.mounted"}
    assert set(came(guarded, "own/uploaded")) == {"blob.pushed"}
