"""What histories are about: few contents, and manifests made of them in every way in which manifests belong together.

All of it follows from a name, so that many processes push the same things and a run can be repeated.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from pierhead.models import Digest, TagName
from pierhead.registry.documents import OCI_IMAGE, OCI_INDEX

# Up to here blobs lie beside their rows, so that a history has both kinds.
INLINE_BYTES = 64
_TYPE = "application/octet-stream"


def attached_tags(digest: Digest) -> list[TagName]:
    """Tags of cosign's kind, and the fallback tag of referrers."""
    return [TagName(f"{digest.algorithm}-{digest.hex[:64]}{ending}") for ending in ("", ".sig", ".att", ".sbom")]


@dataclass(frozen=True, slots=True)
class Content:
    """A blob. Those of even numbers are kept in the database, the others in the store."""

    name: str
    digest: Digest
    data: bytes

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """As Hypothesis tells of it."""
        printer.text(f"<{self.name}>")

    @property
    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": _TYPE, "digest": self.digest, "size": len(self.data)}


@dataclass(frozen=True, slots=True)
class Work:
    """A manifest and what it has to do with others."""

    name: str
    digest: Digest
    text: bytes
    media_type: str
    blobs: tuple[Digest, ...] = ()
    children: tuple[Digest, ...] = ()
    subject: Digest | None = None
    attached_to: Digest | None = None  # by a tag that says so

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """As Hypothesis tells of it."""
        printer.text(f"<{self.name}>")

    @property
    def needs(self) -> tuple[Digest, ...]:
        return (*self.blobs, *self.children)

    @property
    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.text)}

    @property
    def cosign_tag(self) -> TagName | None:
        if self.attached_to is None:
            return None
        return next(tag for tag in attached_tags(self.attached_to) if tag.endswith(".sig"))


def content(name: str, number: int) -> Content:
    size = INLINE_BYTES // 2 if number % 2 == 0 else 4 * INLINE_BYTES
    data = hashlib.shake_256(f"{name} {number}".encode()).digest(size)
    return Content(f"{name} {number}", _digest(data), data)


def image(blobs: list[Content], note: str, *, subject: Work | None = None, attached_to: Work | None = None) -> Work:
    """Its first blob is its config."""
    fields: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE,
        "config": blobs[0].descriptor,
        "layers": [blob.descriptor for blob in blobs[1:]],
        "annotations": {"note": note},
    }
    if subject:
        fields["subject"] = subject.descriptor
    text = json.dumps(fields).encode()
    return Work(
        note,
        _digest(text),
        text,
        OCI_IMAGE,
        blobs=tuple(dict.fromkeys(blob.digest for blob in blobs)),
        subject=subject.digest if subject else None,
        attached_to=attached_to.digest if attached_to else None,
    )


def index(children: list[Work], note: str) -> Work:
    fields = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [child.descriptor for child in children],
        "annotations": {"note": note},
    }
    text = json.dumps(fields).encode()
    return Work(note, _digest(text), text, OCI_INDEX, children=tuple(dict.fromkeys(child.digest for child in children)))


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All that a history may push."""

    contents: dict[Digest, Content]
    works: dict[Digest, Work]

    def bytes(self, digest: Digest) -> bytes:
        return self.contents[digest].data if digest in self.contents else self.works[digest].text

    def belonging(self, root: Digest) -> set[Digest]:
        """A manifest and all that could go with it, come back with it, or be needed to bring it back."""
        found, fresh = {root}, [root]
        while fresh:
            one = fresh.pop()
            near = [*self.works[one].children]
            near += [work.digest for work in self.works.values() if one in (work.subject, work.attached_to)]
            fresh += [digest for digest in near if digest not in found]
            found.update(near)
        return found


@cache
def catalogue(name: str, *, contents: int = 6) -> Catalogue:
    """Images that share blobs, indexes that share images, what refers to them, and what is attached by a tag."""
    blobs = [content(name, number) for number in range(contents)]
    pairs = [(number, (number + 1) % contents) for number in range(contents)]
    images = [image([blobs[one], blobs[other]], f"{name} {one}") for one, other in pairs]
    images.append(image([*blobs[:3], blobs[0]], f"{name} many"))
    lists = [index(images[:2], f"{name} first"), index(images[1:3], f"{name} second")]
    lists.append(index([lists[0], images[3]], f"{name} nested"))
    about = [
        image([blobs[-1]], f"{name} about {place}", subject=work) for place, work in enumerate([images[0], lists[0]])
    ]
    about.append(image([blobs[-2]], f"{name} about what is about it", subject=about[0]))
    signatures = [image([blobs[-1], blobs[1]], f"{name} signed", attached_to=work) for work in (images[1], lists[1])]
    works = [*images, *lists, *about, *signatures]
    return Catalogue({blob.digest: blob for blob in blobs}, {work.digest: work for work in works})


def _digest(data: bytes) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")
