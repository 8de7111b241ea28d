"""Homes, daemons and images for the clients."""

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import images
from tests.clients.containerd import containerd as run_containerd
from tests.clients.dockerd import Dockerd
from tests.clients.dockerd import dockerd as run_dockerd
from tests.clients.guarded import Guarded, publish
from tests.clients.guarded import guarded as run_guarded
from tests.clients.image import MEBIBYTE, Image, make_image


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    folder = tmp_path_factory.mktemp("image")
    layers = [images.busybox_rootfs_tar(folder / "root.tar"), *images.random_layers(folder, [MEBIBYTE, 2 * MEBIBYTE])]
    return make_image(folder, layers, "greeting:1")


@pytest.fixture(scope="session")
def large_image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Three layers of 20 MiB, large enough to be interrupted."""
    folder = tmp_path_factory.mktemp("large")
    return make_image(folder, images.random_layers(folder, [20 * MEBIBYTE] * 3, seed=60), "large:1")


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    yield from _home()


@pytest.fixture
def fresh_home() -> Iterator[Path]:
    """A home for one test alone."""
    yield from _home()


def _home() -> Iterator[Path]:
    # Not pytest's folder, whose path is longer than the 50 characters that podman has room for.
    with tempfile.TemporaryDirectory(prefix="home-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture(scope="session")
def dockerd() -> Iterator[Dockerd]:
    with run_dockerd() as daemon:
        yield daemon


@pytest.fixture(scope="session")
def containerd() -> Iterator[str]:
    with run_containerd() as address:
        yield address


@pytest.fixture(scope="session")
def guarded(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One server with accounts for all clients, with something to pull."""
    folder = tmp_path_factory.mktemp("guarded")
    with run_guarded(folder) as running:
        publish(running, image, folder)
        yield running


@pytest.fixture(scope="session")
def outer_address() -> str | None:
    """This machine's address beyond loopback, where it has one; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))
        except OSError:
            return None
        address: str = probe.getsockname()[0]
    return None if address.startswith("127.") else address
