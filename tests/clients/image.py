"""Images in the two forms that clients take."""

import zlib
from dataclasses import dataclass
from pathlib import Path

from tests import images

GREETING = "hello from the pier"
COMMAND = ("/bin/echo", GREETING)
KIBIBYTE, MEBIBYTE = 1 << 10, 1 << 20


@dataclass(frozen=True, slots=True)
class Image:
    """One image of busybox and two layers, in the two forms that clients take."""

    layout: Path
    digest: str  # of its manifest in the layout
    archive: Path  # which `docker load` calls name
    name: str
    layers: tuple[Path, ...]


def make_image(folder: Path, layers: list[Path], name: str) -> Image:
    digest = images.oci_layout(folder / "layout", layers, command=COMMAND)
    archive = images.docker_archive(folder / "archive.tar", layers, reference=name, command=COMMAND)
    return Image(folder / "layout", digest, archive, name, tuple(layers))


def small_image(folder: Path, name: str) -> Image:
    """With one layer of a few KiB, which is another one for each name."""
    seed = zlib.crc32(name.encode())
    return make_image(folder, images.random_layers(folder, [8 * KIBIBYTE], seed=seed), f"small-{seed}:1")
