"""The work that is measured, done by one small Go program and by real clients; and what must be there before."""

import hashlib
import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from tests import components

GIB = 1 << 30
IMAGE = "application/vnd.oci.image.manifest.v1+json"
_SOURCE = Path(__file__).parent / "load"
_TIMEOUT = 600


@dataclass(frozen=True, slots=True)
class Loaded:
    count: int
    bytes: int
    seconds: float
    errors: int
    protocol: str
    wait: float  # milliseconds from the last byte of a pushed blob to its 201, the median
    p99: float  # milliseconds of one piece of work

    @property
    def rate(self) -> float:
        """A second."""
        return self.count / self.seconds

    @property
    def megabytes(self) -> float:
        """A second, in MB."""
        return self.bytes / self.seconds / 1e6


def build(folder: Path) -> Path:
    """The load generator, built from source in this directory."""
    program = folder / "load"
    go = components.require("go")
    environment = {**os.environ, "CGO_ENABLED": "0"}
    subprocess.run([go, "build", "-o", program, "."], cwd=_SOURCE, check=True, env=environment)
    return program


def load(program: Path, mode: str, base: str, **options: object) -> Loaded:
    """Raises SystemExit where anything went wrong: a figure with errors in it is none."""
    flags = [f"-{name}={value}" for name, value in options.items()]
    done = subprocess.run(
        [program, f"-mode={mode}", f"-base={base}", *flags], check=True, stdout=subprocess.PIPE, timeout=_TIMEOUT
    )
    found = json.loads(done.stdout)
    if found["errors"]:
        raise SystemExit(f"{mode} {base} {options}: {found}")
    counts = found["count"], found["bytes"], found["seconds"], found["errors"]
    return Loaded(*counts, found.get("proto", ""), found["wait_ms"], found["p99_ms"])


def digest_of_push(program: Path, size: int, seed: int) -> str:
    """Of the blob that a push of one stream with this size and seed makes."""
    command: list[str | Path] = [program, "-mode=digest", f"-size={size}", f"-seed={seed}"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=_TIMEOUT).stdout.strip()


_signed: ContextVar[dict[str, str]] = ContextVar("signed")


@contextmanager
def signed_in(header: str) -> Iterator[None]:
    """Requests of the block carry these credentials."""
    token = _signed.set({"Authorization": header})
    try:
        yield
    finally:
        _signed.reset(token)


def send(method: str, url: str, body: bytes | None = None, kind: str = "application/octet-stream") -> str:
    """One request; the Location of its answer."""
    headers = {"Content-Type": kind, **_signed.get({})}
    request = urllib.request.Request(url, data=body, method=method, headers=headers)  # noqa: S310  loopback
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310  loopback
        location: str = answer.headers.get("Location", "")
    return location


def put_blob(base: str, repository: str, content: bytes) -> str:
    """Pushes a blob and returns its digest."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    location = send("POST", f"{base}/v2/{repository}/blobs/uploads/", b"")
    url = location if location.startswith("http") else base + location
    send("PUT", f"{url}{'&' if '?' in url else '?'}digest={digest}", content)
    return digest


def put_image(base: str, repository: str, tag: str, layer: str, size: int) -> None:
    """Pushes an image of one layer that is there."""
    config = put_blob(base, repository, b"{}")
    manifest = {
        "schemaVersion": 2,
        "mediaType": IMAGE,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": size}],
    }
    send("PUT", f"{base}/v2/{repository}/manifests/{tag}", json.dumps(manifest).encode(), IMAGE)
