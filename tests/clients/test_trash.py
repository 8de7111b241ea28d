"""What a client deletes comes back with `pierhead restore`, beside the server, and is pulled again."""

from pathlib import Path

import httpx
import pytest

from tests.cli.test_main import pierhead
from tests.clients import exactness
from tests.clients.image import Image
from tests.clients.programs import program
from tests.running import Running


def restore(server: Running, *arguments: str) -> None:
    ran = pierhead("restore", *arguments, "--data", str(server.data))
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("by", ["tag", "digest"])
def test_crane_deletes_and_pulls_again(server: Running, image: Image, home: Path, tmp_path: Path, by: str) -> None:
    crane = program("crane", home)
    name = f"{server.host}/trash/crane-{by}"
    crane("push", image.layout, f"{name}:v1")
    crane("delete", f"{name}:v1" if by == "tag" else f"{name}@{image.digest}")
    refused = crane.attempt("pull", f"{name}:v1", tmp_path / "gone.tar")
    restore(server, f"trash/crane-{by}:v1")
    crane("pull", "--format", "oci", f"{name}:v1", tmp_path / "back")

    assert refused.returncode
    assert f"pierhead restore trash/crane-{by}:v1" in refused.stderr.decode()
    sent = {blob.name: blob.read_bytes() for blob in (image.layout / "blobs/sha256").iterdir()}
    assert {blob.name: blob.read_bytes() for blob in (tmp_path / "back/blobs/sha256").iterdir()} == sent
    assert crane("digest", f"{name}:v1").strip() == image.digest


def test_skopeo_deletes_and_copies_again(
    server: Running, client: httpx.Client, image: Image, home: Path, tmp_path: Path
) -> None:
    skopeo = program("skopeo", home)
    name = f"docker://{server.host}/trash/skopeo:v1"
    skopeo("copy", "--dest-tls-verify=false", f"oci:{image.layout}", name)
    skopeo("delete", "--tls-verify=false", name)
    refused = skopeo.attempt("inspect", "--tls-verify=false", name)
    restore(server, "trash/skopeo:v1")
    skopeo("copy", "--src-tls-verify=false", name, f"oci:{tmp_path / 'back'}")

    assert refused.returncode
    assert "pierhead restore trash/skopeo:v1" in refused.stderr.decode()
    assert exactness.read(client, "trash/skopeo", "v1").digest == image.digest
