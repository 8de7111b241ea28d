"""What one client was told, and so what has to be there.

A client works in repositories of its own, so its journal is exact. Its latest step may be in doubt: sent, and not
answered. Such a step happened wholly or not at all, and `settle` asks which.

"Not at all" may still change. A worker that is killed between the two halves of a commit leaves it in the log,
complete and unseen; if everything dies before anybody else writes, the next start finds it there. So a step that
had not happened stays `undone`, and is asked about again, until a later write of this client was acknowledged.
"""

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.crash.wire import Answer

OCI_IMAGE = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"

Key = tuple[str, str, str]  # blob | manifest | tag | upload, repository, name
Value = Any  # True or None for blobs and manifests, a digest or None for tags, an offset or None for uploads


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes by what makes them, so that a journal of thousands needs little memory."""

    size: int
    seed: int
    text: bytes = b""  # instead, where it is a manifest

    @property
    def bytes(self) -> bytes:
        return self.text or random.Random(self.seed).randbytes(self.size)


@dataclass(slots=True)
class Session:
    """An upload that was left half-way."""

    repository: str
    id: str
    digest: str
    size: int


@dataclass(slots=True)
class Step:
    """One request: what it changes once it is done, and the answers that mean so."""

    name: str
    send: Callable[[], Answer]
    done: frozenset[int]
    changes: dict[Key, Value] = field(default_factory=dict)
    refused: frozenset[int] = frozenset()


@dataclass(slots=True)
class Journal:
    contents: dict[str, Content] = field(default_factory=dict)  # by digest
    sessions: dict[str, Session] = field(default_factory=dict)  # by id
    held: dict[Key, Value] = field(default_factory=dict)
    gone: set[Key] = field(default_factory=set)  # was there, and was deleted or ended
    needs: dict[Key, list[Key]] = field(default_factory=dict)  # of a manifest
    touched: set[Key] = field(default_factory=set)  # since the last look
    doubt: Step | None = None
    undone: list[Step] = field(default_factory=list)  # had not happened when asked
    acknowledged: int = 0

    def add(self, content: Content) -> str:
        digest = f"sha256:{hashlib.sha256(content.bytes).hexdigest()}"
        self.contents[digest] = content
        return digest

    def apply(self, changes: dict[Key, Value]) -> None:
        for key, value in changes.items():
            self.touched.add(key)
            if value is None:
                self.held.pop(key, None)
                self.gone.add(key)
            else:
                self.held[key] = value
                self.gone.discard(key)

    def names(self, kind: str, repository: str) -> list[str]:
        return [name for what, where, name in self.held if what == kind and where == repository]

    def needed(self, key: Key) -> bool:
        """Whether a manifest that is there refers to this."""
        return any(key in needs and manifest in self.held for manifest, needs in self.needs.items())

    def going(self, manifest: Key) -> set[Key]:
        """The manifests that a delete of this one takes along: its children that nothing else wants, and theirs."""
        going, asked = {manifest}, [manifest]
        while asked:
            for key in self.needs.get(asked.pop(), []):
                if key[0] == "manifest" and key in self.held and key not in going and not self._wanted(key, going):
                    going.add(key)
                    asked.append(key)
        return going

    def _wanted(self, manifest: Key, going: set[Key]) -> bool:
        _, repository, digest = manifest
        listing = {parent for parent, needs in self.needs.items() if manifest in needs and parent in self.held}
        return bool(self.tags_of(repository, digest)) or bool(listing - going)

    def tags_of(self, repository: str, digest: str) -> list[Key]:
        tags = [("tag", repository, name) for name in self.names("tag", repository)]
        return [key for key in tags if self.held[key] == digest]


def image(journal: Journal, blobs: list[str], note: str) -> bytes:
    descriptors = [
        {"mediaType": "application/octet-stream", "digest": digest, "size": journal.contents[digest].size}
        for digest in blobs
    ]
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_IMAGE,
            "config": descriptors[0],
            "layers": descriptors[1:],
            "annotations": {"note": note},
        }
    ).encode()


def index(journal: Journal, manifests: list[str], note: str) -> bytes:
    descriptors = [
        {"mediaType": OCI_IMAGE, "digest": digest, "size": journal.contents[digest].size} for digest in manifests
    ]
    return json.dumps(
        {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": descriptors, "annotations": {"note": note}}
    ).encode()
