"""CNCF Distribution's way: the registry stands still, or refuses pushes, until all of its store was walked."""

import hashlib
import subprocess
import time
from pathlib import Path

from benchmarks.collection import files
from benchmarks.collection.contents import Contents
from tests import components

_LAYOUT = Path("docker/registry/v2")


def fill(root: Path, contents: Contents) -> None:
    """The files that pushes would have left, as `registry/storage/paths.go` describes them."""
    blobs = files.Writer()
    for image in contents.images:
        digest = f"sha256:{hashlib.sha256(image.manifest).hexdigest()}"
        repository = root / _LAYOUT / "repositories" / image.repository
        files.write(_data(root, digest), image.manifest)
        for part in image.parts:
            blobs.link(_data(root, part))
            _link(repository / "_layers", part)
        manifests = repository / "_manifests"
        _link(manifests / "revisions", digest)
        tag = manifests / "tags" / image.tag
        files.write(tag / "current" / "link", digest.encode())
        _link(tag / "index", digest)
    for name, digest in contents.orphans:
        blobs.write(_data(root, digest))
        _link(root / _LAYOUT / "repositories" / name / "_layers", digest)


def collect(root: Path, contents: Contents) -> float:
    """The seconds of `garbage-collect`, after which just what nothing needed is gone."""
    settings = root.with_suffix(".yml")
    settings.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {root}}}}}\n"
        "http: {addr: '127.0.0.1:0'}\n"
    )
    files.settle()
    command: list[str | Path] = [components.require("registry"), "garbage-collect", "--quiet", settings]
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    took = time.perf_counter() - begun
    left = sum(_data(root, digest).exists() for _, digest in contents.orphans)
    kept = all(_data(root, part).exists() for image in contents.images for part in image.parts[:1])
    if left or not kept:
        raise SystemExit(f"Distribution left {left} unneeded blobs; kept all others: {kept}")
    return took


def _data(root: Path, digest: str) -> Path:
    return root / _LAYOUT / "blobs" / "sha256" / digest[7:9] / digest[7:] / "data"


def _link(folder: Path, digest: str) -> None:
    files.write(folder / "sha256" / digest[7:] / "link", digest.encode())
