"""buildah: an image built from nothing, pushed in both formats and pulled."""

from pathlib import Path

import httpx
import pytest

from tests.clients import engines, exactness
from tests.clients.image import COMMAND, Image
from tests.clients.programs import Program
from tests.running import Running


@pytest.fixture(scope="module")
def buildah(home: Path) -> Program:
    return engines.buildah(home)


@pytest.fixture(scope="module")
def built(buildah: Program, image: Image) -> str:
    container = buildah("from", "scratch").strip()
    buildah("add", container, image.layers[0], "/")
    buildah("config", "--cmd", f'["{COMMAND[0]}", "{COMMAND[1]}"]', container)
    buildah("commit", container, "built")
    buildah("rm", container)
    return "built"


@pytest.mark.parametrize("kind", ["oci", "docker"])
def test_a_built_image_is_pushed_and_pulled(
    buildah: Program, built: str, *, kind: str, server: Running, client: httpx.Client, tmp_path: Path
) -> None:
    name = f"{server.host}/buildah/built:{kind}"
    buildah(
        *("push", "--tls-verify=false", "--format", "v2s2" if kind == "docker" else kind),
        *("--digestfile", tmp_path / "digest", built, f"docker://{name}"),
    )
    pulled = buildah("pull", "--quiet", "--tls-verify=false", name).strip()
    buildah("rmi", name)

    held = exactness.read(client, "buildah/built", kind)
    assert held.digest == (tmp_path / "digest").read_text()
    assert f".{kind}." in held.media_type
    assert held.document["config"]["digest"] == f"sha256:{pulled}"


def test_a_manifest_list_is_pushed_with_its_images(
    buildah: Program, built: str, server: Running, client: httpx.Client
) -> None:
    buildah("manifest", "create", "many", built)
    buildah("manifest", "push", "--all", "--tls-verify=false", "many", f"docker://{server.host}/buildah/many:1")

    assert len(exactness.read(client, "buildah/many", "1").children) == 1
