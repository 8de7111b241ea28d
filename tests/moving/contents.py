"""All that a registry serves, byte by byte, as its rows name it."""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw

from tests.crash.wire import Wire

_SERVED = """
SELECT repositories.name, 'manifests', tags.name
  FROM tags JOIN repositories ON repositories.id = tags.repository_id
UNION ALL
SELECT repositories.name, 'manifests', manifests.digest
  FROM manifests JOIN repositories ON repositories.id = manifests.repository_id
 WHERE manifests.trash_id IS NULL
UNION ALL
SELECT repositories.name, 'blobs', repository_blobs.digest
  FROM repository_blobs JOIN repositories ON repositories.id = repository_blobs.repository_id
"""


def named(data: Path) -> list[str]:
    """The paths of everything in an embedded registry."""
    with closing(apsw.Connection(str(data / "pierhead.db"))) as connection:
        return sorted(f"/v2/{name}/{kind}/{what}" for name, kind, what in connection.execute(_SERVED))


def served(host: str, paths: list[str]) -> dict[str, str]:
    """What a server answers to each: type and hash of the bytes."""
    return dict(_answers(host, paths))


def _answers(host: str, paths: list[str]) -> Iterator[tuple[str, str]]:
    with Wire(host) as wire:
        for path in paths:
            answer = wire.ask("GET", path)
            assert answer.status == 200, f"{path}: {answer.status}"
            hashed = hashlib.sha256(answer.body).hexdigest()
            assert f"sha256:{hashed}" == answer.headers["docker-content-digest"], path
            yield path, f"{answer.headers['content-type']} {hashed}"
