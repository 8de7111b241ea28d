"""Images made on the spot: nothing is pulled, and the same arguments give the same digests.

A layer is an uncompressed tar, as bytes or as a file. What is made is an OCI layout (for
skopeo, crane, oras) or an archive for `docker load`; a root file system tar also suits
`docker import`. Storing an image anywhere is the tests' own affair.
"""

import gzip
import hashlib
import io
import json
import platform
import random
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tests import components

Layer = bytes | Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
CREATED = "2000-01-01T00:00:00Z"
MEBIBYTE = 1 << 20

FOLDERS = ("bin", "dev", "etc", "proc", "root", "sys", "tmp")
ACCOUNTS = {"etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n", "etc/group": b"root:x:0:\n"}


def busybox_rootfs_tar(path: Path) -> Path:
    """A root file system that runs: /bin/busybox and a link for each of its commands."""
    busybox = components.require("busybox")
    commands = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for folder in FOLDERS:
            tar.addfile(_member(folder, kind=tarfile.DIRTYPE, mode=0o1777 if folder == "tmp" else 0o755))
        for name, content in ACCOUNTS.items():
            tar.addfile(_member(name, size=len(content)), io.BytesIO(content))
        with busybox.open("rb") as program:
            tar.addfile(_member("bin/busybox", size=busybox.stat().st_size, mode=0o755), program)
        for command in sorted(set(commands) - {"busybox"}):
            tar.addfile(_member(f"bin/{command}", kind=tarfile.SYMTYPE, target="busybox"))
    return path


def random_layer(path: Path, *, size: int, seed: int) -> Path:
    """A layer with one file of `size` random bytes, /random/<seed>: nothing in it compresses or repeats."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(_member("random", kind=tarfile.DIRTYPE, mode=0o755))
        tar.addfile(_member(f"random/{seed}", size=size), _RandomFile(random.Random(seed)))
    return path


def random_layers(folder: Path, sizes: Sequence[int], *, seed: int = 1) -> list[Path]:
    """One random layer for each size; neighbouring seeds give images that share layers."""
    layers = [(folder / f"layer-{seed + i}.tar", size, seed + i) for i, size in enumerate(sizes)]
    return [random_layer(path, size=size, seed=number) for path, size, number in layers]


def oci_layout(
    path: Path,
    layers: Sequence[Layer],
    *,
    tag: str = "latest",
    command: Sequence[str] = ("/bin/sh",),
    compressed: bool = True,
) -> str:
    """Make the folder `path` an OCI layout with one image, and return the digest of its manifest."""
    blobs = path / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (path / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    kind = "application/vnd.oci.image.layer.v1.tar"
    stored = [_store_layer(blobs, layer, compressed=compressed) for layer in layers]
    config = _json(_config([diff_id for _, _, diff_id in stored], command))
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _store(blobs, config, "application/vnd.oci.image.config.v1+json"),
            "layers": [
                {"mediaType": f"{kind}+gzip" if compressed else kind, "digest": digest, "size": size}
                for digest, size, _ in stored
            ],
        }
    )
    descriptor = _store(blobs, manifest, "application/vnd.oci.image.manifest.v1+json")
    named = descriptor | {"annotations": {"org.opencontainers.image.ref.name": tag}}
    (path / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": [named]}))
    return str(descriptor["digest"])


def docker_archive(
    path: Path, layers: Sequence[Layer], *, reference: str, command: Sequence[str] = ("/bin/sh",)
) -> Path:
    """Write an archive for `docker load`, which then knows the image as `reference` (name:tag)."""
    diff_ids = [_sha256(_chunks(layer)) for layer in layers]
    config = _json(_config(diff_ids, command))
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    # The same layer twice is one member, named twice.
    members = {f"{diff_id.partition(':')[2]}.tar": layer for diff_id, layer in zip(diff_ids, layers, strict=True)}
    names = [f"{diff_id.partition(':')[2]}.tar" for diff_id in diff_ids]
    index = _json([{"Config": config_name, "RepoTags": [reference], "Layers": names}])
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in [*members.items(), (config_name, config), ("manifest.json", index)]:
            with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
                tar.addfile(_member(name, size=_size(content)), file)
    return path


class _RandomFile(io.RawIOBase):
    """As many random bytes as anyone reads, without holding them."""

    def __init__(self, source: random.Random) -> None:
        self._source = source

    def read(self, size: int = -1, /) -> bytes:
        return self._source.randbytes(size)


def _config(diff_ids: list[str], command: Sequence[str]) -> dict[str, Any]:
    return {
        "created": CREATED,
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": list(command)},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created": CREATED, "created_by": f"layer {i}"} for i in range(len(diff_ids))],
    }


def _store(blobs: Path, content: bytes, media_type: str) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def _store_layer(blobs: Path, layer: Layer, *, compressed: bool) -> tuple[str, int, str]:
    """Digest and size as stored, and the digest of the tar itself."""
    staged = blobs / "staged"
    with staged.open("wb") as file:
        if compressed:
            # No name and no time in the header, so that equal layers are equal blobs.
            with gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0) as packed:
                diff_id = _sha256(_chunks(layer), packed)
        else:
            diff_id = _sha256(_chunks(layer), file)
    digest, size = _sha256(_chunks(staged)), staged.stat().st_size
    staged.replace(blobs / digest.partition(":")[2])
    return digest, size, diff_id


def _sha256(chunks: Iterable[bytes], copy: IO[bytes] | gzip.GzipFile | None = None) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
        if copy:
            copy.write(chunk)
    return f"sha256:{digest.hexdigest()}"


def _chunks(layer: Layer) -> Iterator[bytes]:
    with io.BytesIO(layer) if isinstance(layer, bytes) else layer.open("rb") as file:
        while chunk := file.read(MEBIBYTE):
            yield chunk


def _size(content: Layer) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _member(
    name: str, *, kind: bytes = tarfile.REGTYPE, size: int = 0, mode: int = 0o644, target: str = ""
) -> tarfile.TarInfo:
    """A member with no time and no owner but root."""
    member = tarfile.TarInfo(name)
    member.type, member.size, member.mode, member.linkname = kind, size, mode, target
    return member


def _json(value: Mapping[str, Any] | Sequence[Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
