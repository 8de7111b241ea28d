"""What is in the registries that are measured: images of ten blobs each, and blobs that nothing needs."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from benchmarks.loads import IMAGE

PARTS = 10  # blobs of an image: its config, and layers
BLOB_BYTES = 20 * 1024  # above what lies beside a row
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True, slots=True)
class Image:
    number: int
    repository: str
    tag: str
    parts: tuple[str, ...]  # digests

    @property
    def manifest(self) -> bytes:
        entries = [
            {"mediaType": _LAYER if place else _CONFIG, "digest": digest, "size": BLOB_BYTES}
            for place, digest in enumerate(self.parts)
        ]
        document = {"schemaVersion": 2, "mediaType": IMAGE, "config": entries[0], "layers": entries[1:]}
        return json.dumps(document).encode()


@dataclass(frozen=True, slots=True)
class Contents:
    """`unneeded` of the blobs are of no image."""

    blobs: int
    unneeded: int
    repositories: int = 1000

    @property
    def images(self) -> Iterator[Image]:
        """No blob is of two images, so that each of them has to be looked at."""
        for number in range((self.blobs - self.unneeded) // PARTS):
            parts = tuple(digest_of(number * PARTS + place) for place in range(PARTS))
            yield Image(number, self.repository(number), f"t{number // self.repositories:05}", parts)

    @property
    def orphans(self) -> Iterator[tuple[str, str]]:
        """Repositories, each with the digest of a blob that it holds in vain."""
        for number in range(self.blobs - self.unneeded, self.blobs):
            yield self.repository(number), digest_of(number)

    def repository(self, number: int) -> str:
        return f"bench/r{number % self.repositories:04}"


def digest_of(number: int) -> str:
    """Of no content: the bytes of all blobs are alike, and nobody who collects reads them."""
    return f"sha256:{hashlib.sha256(b'blob %d' % number).hexdigest()}"


def more_orphans(repositories: list[str]) -> Iterator[tuple[str, str]]:
    """Without end, and none of `Contents`."""
    for number in count():
        digest = hashlib.sha256(b"another blob %d" % number).hexdigest()
        yield repositories[number % len(repositories)], f"sha256:{digest}"
