"""The images that other tests push are valid, and the same every time."""

import hashlib
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests import components, images

SIZES = [1000, 200_000, 0]


@pytest.fixture
def layers(tmp_path: Path) -> list[Path]:
    return images.random_layers(tmp_path, SIZES)


def test_equal_arguments_give_equal_digests(tmp_path: Path, layers: list[Path]) -> None:
    again = tmp_path / "again"
    again.mkdir()

    digests = {
        images.oci_layout(tmp_path / "one", layers),
        images.oci_layout(tmp_path / "two", images.random_layers(again, SIZES)),
        images.oci_layout(tmp_path / "three", [layer.read_bytes() for layer in layers]),
    }

    assert len(digests) == 1


def test_another_seed_gives_other_layers(tmp_path: Path, layers: list[Path]) -> None:
    other = images.random_layer(tmp_path / "other.tar", size=SIZES[0], seed=99)

    assert images.oci_layout(tmp_path / "one", layers[:1]) != images.oci_layout(tmp_path / "two", [other])


def test_every_blob_is_named_by_its_content(tmp_path: Path, layers: list[Path]) -> None:
    images.oci_layout(tmp_path / "layout", layers)

    blobs = list((tmp_path / "layout" / "blobs" / "sha256").iterdir())
    assert len(blobs) == len(layers) + 2
    assert all(hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name for blob in blobs)


def test_a_random_layer_holds_as_many_bytes_as_asked(layers: list[Path]) -> None:
    with tarfile.open(layers[1]) as tar:
        assert tar.getmember("random/2").size == SIZES[1]


def test_the_root_file_system_links_every_command_to_busybox(tmp_path: Path) -> None:
    with tarfile.open(images.busybox_rootfs_tar(tmp_path / "rootfs.tar")) as tar:
        assert tar.getmember("bin/busybox").mode == 0o755
        assert tar.getmember("bin/sh").linkname == "busybox"


@pytest.mark.parametrize("compressed", [True, False])
def test_skopeo_copies_a_layout_unchanged(tmp_path: Path, layers: list[Path], compressed: bool) -> None:
    skopeo = components.require("skopeo")
    rootfs = images.busybox_rootfs_tar(tmp_path / "rootfs.tar")
    digest = images.oci_layout(tmp_path / "layout", [rootfs, *layers], tag="1", compressed=compressed)

    copy: list[str | Path] = [
        skopeo,
        "--insecure-policy",
        "copy",
        "--preserve-digests",
        f"oci:{tmp_path}/layout:1",
        f"dir:{tmp_path}/copy",
    ]
    subprocess.run(copy, check=True, capture_output=True)

    manifest = (tmp_path / "copy" / "manifest.json").read_bytes()
    assert f"sha256:{hashlib.sha256(manifest).hexdigest()}" == digest


def test_skopeo_reads_a_docker_archive(tmp_path: Path, layers: list[Path]) -> None:
    skopeo = components.require("skopeo")
    archive = images.docker_archive(tmp_path / "image.tar", [*layers, layers[0]], reference="team/app:1")

    inspect: list[str | Path] = [skopeo, "inspect", f"docker-archive:{archive}"]
    seen = json.loads(subprocess.run(inspect, check=True, capture_output=True).stdout)

    assert len(seen["Layers"]) == len(layers) + 1
