"""What a registry holds, read over plain HTTP and checked digest by digest, whoever pushed it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


@dataclass(frozen=True, slots=True)
class Held:
    """A manifest whose every byte was read: its own, its blobs', those of its manifests."""

    digest: str
    document: dict[str, Any]
    children: list["Held"] = field(default_factory=list)

    @property
    def media_type(self) -> str:
        return str(self.document.get("mediaType", ""))

    @property
    def layers(self) -> list[str]:
        return [layer["digest"] for layer in self.document.get("layers", [])]


def read(registry: httpx.Client, repository: str, reference: str) -> Held:
    """Reads an image, an artifact or an index, whole; any difference fails the test."""
    answer = registry.get(f"/v2/{repository}/manifests/{reference}", headers={"accept": ", ".join(TYPES)})
    assert answer.status_code == 200, answer.text
    digest = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
    assert answer.headers["docker-content-digest"] == digest
    if ":" in reference:
        assert reference == digest
    document = answer.json()
    assert answer.headers["content-type"] == document.get("mediaType", answer.headers["content-type"])
    for descriptor in _blobs(document):
        _check_blob(registry, repository, descriptor)
    children = [read(registry, repository, child["digest"]) for child in document.get("manifests", [])]
    return Held(digest, document, children)


def _blobs(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "config" in document:
        yield document["config"]
    yield from document.get("layers", [])


def _check_blob(registry: httpx.Client, repository: str, descriptor: dict[str, Any]) -> None:
    digest, size = hashlib.sha256(), 0
    with registry.stream("GET", f"/v2/{repository}/blobs/{descriptor['digest']}") as answer:
        assert answer.status_code == 200
        for piece in answer.iter_bytes():
            digest.update(piece)
            size += len(piece)
    assert (f"sha256:{digest.hexdigest()}", size) == (descriptor["digest"], descriptor["size"])
