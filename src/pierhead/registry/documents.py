"""Reading a manifest: bytes in, a checked `Document` or `ManifestInvalid` out. No I/O.

Rules
- JSON in UTF-8, one object, no key twice in an object (clients disagree on which one counts), and
  no half of a surrogate pair (it cannot be written as UTF-8 again).
- Content-Type and the `mediaType` field agree where both are there; parameters are ignored.
- image-spec 1.1 and Docker's image manifest v2 schema 2 are checked; JSON of any other media
  type is kept as it is, and what looks like a descriptor in it counts as a reference.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeGuard

from pierhead.errors import DigestInvalid, ManifestInvalid
from pierhead.models import Descriptor, Digest

OCI_IMAGE = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"  # removed from image-spec 1.1, still pushed
DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+"

IMAGES = frozenset({OCI_IMAGE, DOCKER_IMAGE})
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
_KNOWN = IMAGES | INDEXES | {OCI_ARTIFACT}
_UNTYPED = frozenset({"", "application/json", "application/octet-stream", "text/plain"})

# image-spec layer.md "Non-Distributable Layers", and Docker's foreign layers before it.
_FOREIGN = (
    "application/vnd.oci.image.layer.nondistributable.",
    "application/vnd.docker.image.rootfs.foreign.",
)
MEDIA_TYPE_MAX = 255
# RFC 6838, section 4.2: restricted names on both sides of the slash.
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*")
SIZE_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Document:
    """What the registry needs to know of a manifest."""

    media_type: str
    references: tuple[Descriptor, ...]
    subject: Digest | None
    artifact_type: str | None
    annotations: dict[str, str] | None


def read(content: bytes, content_type: str, *, max_references: int) -> Document:
    """Raises ManifestInvalid with what is wrong and where."""
    fields = _parse(content)
    if content_type.lower().strip().startswith(_SCHEMA_1) or fields.get("schemaVersion") == 1:
        raise ManifestInvalid("image manifest schema 1 is not supported; push with a client of 2017 or later")
    media_type = _media_type(fields, content_type)
    known = media_type in _KNOWN
    if known and media_type != OCI_ARTIFACT and fields.get("schemaVersion") != 2:  # noqa: PLR2004  the field's own value
        raise ManifestInvalid("schemaVersion: 2 is expected")
    references = tuple(_checked(media_type, fields) if known else _found(fields))
    if len(references) > max_references:
        raise ManifestInvalid(
            f"{len(references)} references, at most {max_references} are allowed (setting manifests.max_references)"
        )
    return Document(
        media_type=media_type,
        references=references,
        subject=_subject(fields),
        artifact_type=_artifact_type(media_type, fields),
        annotations=_annotations(fields) if known else None,
    )


def _parse(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise ManifestInvalid(f"not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise ManifestInvalid("nested too deeply") from error
    except ValueError as error:
        # json's own message, or that of int() for a number with thousands of digits
        raise ManifestInvalid(f"not JSON: {str(error)[:200]}") from error
    if not isinstance(value, dict):
        raise ManifestInvalid("a JSON object is expected")
    _refuse_surrogates(content, value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ManifestInvalid(f"the key {twice[:100]!a} stands twice in one object")
    return fields


def _refuse_surrogates(content: bytes, value: dict[str, Any]) -> None:
    """RFC 8259, section 8.2: `"\\ud800"` alone is JSON, but no text."""
    if b"\\ud" not in content and b"\\uD" not in content:
        return
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise ManifestInvalid("nested too deeply") from error
    except UnicodeEncodeError as error:
        raise ManifestInvalid("half of a surrogate pair stands in a string") from error


def _refuse_constant(name: str) -> None:
    raise ManifestInvalid(f"{name} is not JSON")


def _media_type(fields: dict[str, Any], content_type: str) -> str:
    stated, inside = content_type.partition(";")[0].strip(), fields.get("mediaType", "")
    if inside != "" and not _is_media_type(inside):
        raise ManifestInvalid("mediaType: a media type is expected")
    if stated and not _is_media_type(stated):
        raise ManifestInvalid("Content-Type: a media type is expected")
    if stated.lower() in _UNTYPED:
        stated = inside or _guess(fields)
    if inside and inside.lower() != stated.lower():
        raise ManifestInvalid(f"mediaType is {inside}, but the Content-Type is {stated}")
    found = inside or stated
    # Media types have no case, but clients compare those that they know with one.
    return found.lower() if found.lower() in _KNOWN else found


def _is_media_type(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MEDIA_TYPE_MAX and _MEDIA_TYPE.fullmatch(value) is not None


def _can_be_one(value: Any) -> TypeGuard[str]:
    """What descriptors call a media type is kept as it is; PostgreSQL has no place for NUL."""
    return isinstance(value, str) and len(value) <= MEDIA_TYPE_MAX and "\0" not in value


def _guess(fields: dict[str, Any]) -> str:
    if "manifests" in fields:
        return OCI_INDEX
    if "config" in fields and "layers" in fields:
        return OCI_IMAGE
    raise ManifestInvalid("state its media type in the Content-Type or in mediaType")


def _checked(media_type: str, fields: dict[str, Any]) -> Iterator[Descriptor]:
    if media_type in INDEXES:
        yield from _list(fields, "manifests", "manifest")
    elif media_type == OCI_ARTIFACT:
        yield from _list(fields, "blobs", "blob")
    else:
        yield _descriptor(fields.get("config"), "config", "config")
        yield from _list(fields, "layers", "layer")


def _list(fields: dict[str, Any], name: str, kind: Any) -> Iterator[Descriptor]:
    entries = fields.get(name)
    if entries is None and name != "manifests":
        return
    if not isinstance(entries, list):
        raise ManifestInvalid(f"{name}: a list is expected")
    for position, entry in enumerate(entries):
        yield _descriptor(entry, f"{name}[{position}]", kind)


def _found(fields: dict[str, Any]) -> Iterator[Descriptor]:
    """Descriptors in JSON of an unknown type: kept alive by it, but not asked for."""
    entries = [("config", fields.get("config"))]
    for name, kind in (("layers", "layer"), ("blobs", "blob"), ("manifests", "manifest")):
        listed = fields.get(name)
        if isinstance(listed, list):
            # Only what could be one: to refuse a million other things one by one takes a second.
            entries += [(kind, entry) for entry in listed if isinstance(entry, dict) and "digest" in entry]
    for kind, entry in entries:
        try:
            found = _descriptor(entry, "", kind)
        except ManifestInvalid:
            continue
        yield Descriptor(found.digest, found.size, found.media_type, found.kind, required=False)


def _descriptor(entry: Any, where: str, kind: Any) -> Descriptor:
    """image-spec, descriptor.md: mediaType, digest and size are required."""
    if not isinstance(entry, dict):
        raise ManifestInvalid(f"{where}: a descriptor is expected")
    media_type, size = entry.get("mediaType"), entry.get("size")
    if not _can_be_one(media_type):
        raise ManifestInvalid(f"{where}.mediaType: a media type is expected")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= SIZE_MAX:
        raise ManifestInvalid(f"{where}.size: a number of bytes is expected")
    return Descriptor(_digest(entry, where), size, media_type, kind, required=not media_type.startswith(_FOREIGN))


def _digest(entry: dict[str, Any], where: str) -> Digest:
    digest = entry.get("digest")
    if not isinstance(digest, str):
        raise ManifestInvalid(f"{where}.digest: a digest is expected")
    try:
        return Digest.parse(digest)
    except DigestInvalid as error:
        raise ManifestInvalid(f"{where}.digest: {DigestInvalid.__doc__}") from error


def _subject(fields: dict[str, Any]) -> Digest | None:
    subject = fields.get("subject")
    return None if subject is None else _descriptor(subject, "subject", "manifest").digest


def _artifact_type(media_type: str, fields: dict[str, Any]) -> str | None:
    """distribution-spec, "Listing Referrers": an image without one is known by its config's media type."""
    stated = fields.get("artifactType")
    if stated is not None and not _can_be_one(stated):
        raise ManifestInvalid("artifactType: a media type is expected")
    return stated or (fields["config"]["mediaType"] if media_type in IMAGES else None)


def _annotations(fields: dict[str, Any]) -> dict[str, str] | None:
    annotations = fields.get("annotations")
    if annotations is None:
        return None
    if not isinstance(annotations, dict) or not all(isinstance(value, str) for value in annotations.values()):
        raise ManifestInvalid("annotations: an object of strings is expected")
    return annotations
