"""Nodes on one PostgreSQL, and what a client asks of them. Blobs are small, so that all nodes have their bytes."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from tests.running import Running, serving

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = b"{}"


@contextmanager
def nodes(folder: Path, url: str, count: int, **environment: str) -> Iterator[list[Running]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                serving(folder / f"node{number}", "--workers", "1", "--database", url, environment=environment)
            )
            for number in range(count)
        ]


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def manifest(name: str, config: bytes = CONFIG) -> bytes:
    """An image that differs by its name."""
    described = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": len(config)}
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {**described, "digest": digest_of(config)},
        "layers": [],
        "annotations": {"name": name},
    }
    return json.dumps(document).encode()


async def push_blob(client: httpx.AsyncClient, repository: str, content: bytes = CONFIG) -> httpx.Response:
    begun = await client.post(f"/v2/{repository}/blobs/uploads/")
    assert begun.status_code == 202, begun.text
    place = begun.headers["location"]
    return await client.put(f"{place}?digest={digest_of(content)}", content=content)


async def push(client: httpx.AsyncClient, repository: str, reference: str, content: bytes) -> httpx.Response:
    path = f"/v2/{repository}/manifests/{reference}"
    return await client.put(path, content=content, headers={"content-type": MANIFEST})
