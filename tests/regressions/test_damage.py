"""Bytes that the disk lost or changed."""

import os
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.clients.conftest import image as image  # noqa: PLC0414  a fixture
from tests.clients.image import Image
from tests.clients.programs import program
from tests.distribution.wire import push_blob, sha256
from tests.moving.damage import flip
from tests.regressions.acting import attempt, collect, eager

DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "cut": lambda file: os.truncate(file, 100),
    "empty": lambda file: os.truncate(file, 0),
    "changed": flip,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_push_heals_what_is_damaged(tmp_path: Path, image: Image, damage: str) -> None:
    """zot#1922: a corrupt blob stayed, since every push was told that it is there. ggcr#2124: it was served empty."""
    skopeo = program("skopeo", tmp_path)
    with eager(tmp_path / "data") as server, httpx.Client(base_url=server.url, timeout=30) as client:
        push = ("copy", "--dest-tls-verify=false", f"oci:{image.layout}:latest", f"docker://{server.host}/healed:1")
        skopeo(*push)
        file = max(server.data.glob("blobs/sha256/*/*"), key=lambda path: path.stat().st_size)
        digest = f"sha256:{file.name.partition('.')[0]}"
        content = file.read_bytes()
        DAMAGES[damage](file)

        said = attempt(server.data, "check", "--repair", "--deep")
        assert digest in said.stdout
        assert client.head(f"/v2/healed/blobs/{digest}").status_code == 404
        skopeo(*push)

        assert client.get(f"/v2/healed/blobs/{digest}").content == content
        collect(server.data)
        assert client.get(f"/v2/healed/blobs/{digest}").content == content
        assert attempt(server.data, "check", "--deep").returncode == 0


def test_a_blob_without_its_bytes_is_never_served_as_an_empty_one(tmp_path: Path) -> None:
    content = os.urandom(64 * 1024)
    with eager(tmp_path / "data") as server, httpx.Client(base_url=server.url, timeout=30) as client:
        push_blob(client, "lost", content)
        [file] = server.data.glob(f"blobs/sha256/*/{sha256(content)[7:]}.*")
        os.truncate(file, 0)

        assert client.get(f"/v2/lost/blobs/{sha256(content)}").status_code >= 400

        push_blob(client, "lost", content)
        assert client.get(f"/v2/lost/blobs/{sha256(content)}").content == content
