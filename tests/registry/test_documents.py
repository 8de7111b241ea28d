"""Manifests: what is taken, what is refused, and that it is said in the tree."""

import copy
import json
import random
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pierhead.errors import ManifestInvalid
from pierhead.models import Digest
from pierhead.registry import documents
from pierhead.registry.documents import DOCKER_IMAGE, DOCKER_LIST, OCI_ARTIFACT, OCI_IMAGE, OCI_INDEX, Document
from tests import profiles

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"


def digest(letter: str = "a") -> str:
    return "sha256:" + letter * 64


def descriptor(letter: str = "a", media_type: str = LAYER, **fields: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest(letter), "size": 1, **fields}


def image(**fields: Any) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "config": descriptor("c", CONFIG),
        "layers": [descriptor("a"), descriptor("b")],
        **fields,
    }


def index(**fields: Any) -> dict[str, Any]:
    return {"schemaVersion": 2, "manifests": [descriptor("a", OCI_IMAGE)], **fields}


def without(fields: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}


def read(content: Any, content_type: str = OCI_IMAGE, max_references: int = 100) -> Document:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return documents.read(raw, content_type, max_references=max_references)


def test_an_image_refers_to_its_config_and_layers() -> None:
    document = read(image(subject=descriptor("d", OCI_IMAGE), annotations={"a": "b"}))

    assert [(entry.kind, entry.digest) for entry in document.references] == [
        ("config", digest("c")),
        ("layer", digest("a")),
        ("layer", digest("b")),
    ]
    assert all(entry.required for entry in document.references)
    assert document.subject == digest("d")
    assert document.annotations == {"a": "b"}
    assert document.artifact_type == CONFIG


def test_an_artifact_type_stands_before_that_of_the_config() -> None:
    assert read(image(artifactType="a/b")).artifact_type == "a/b"


def test_an_index_refers_to_manifests_and_has_no_artifact_type_of_its_own() -> None:
    document = read(index(), OCI_INDEX)

    assert [entry.kind for entry in document.references] == ["manifest"]
    assert document.artifact_type is None


def test_an_index_may_be_empty() -> None:
    assert read(index(manifests=[]), OCI_INDEX).references == ()


def test_an_image_may_have_no_layers() -> None:
    assert len(read(without(image(), "layers")).references) == 1


def test_the_same_layer_may_stand_twice() -> None:
    assert len(read(image(layers=[descriptor("a")] * 3)).references) == 4


def test_an_artifact_refers_to_blobs() -> None:
    content = {"mediaType": OCI_ARTIFACT, "artifactType": "a/b", "blobs": [descriptor("a")]}

    assert [entry.kind for entry in read(content, OCI_ARTIFACT).references] == ["blob"]


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ],
)
def test_a_layer_that_is_kept_elsewhere_is_not_asked_for(media_type: str) -> None:
    document = read(image(layers=[descriptor("a", media_type)]))

    assert [entry.required for entry in document.references] == [True, False]


def test_what_looks_like_a_descriptor_in_an_unknown_type_counts_but_is_not_asked_for() -> None:
    content = {
        "config": descriptor("c"),
        "layers": [descriptor("a"), 1, {}],
        "blobs": "x",
        "manifests": [descriptor("d")],
    }

    document = read(content, "application/vnd.example+json")

    assert [(entry.kind, entry.required) for entry in document.references] == [
        ("config", False),
        ("layer", False),
        ("manifest", False),
    ]


@pytest.mark.parametrize(
    ("content", "content_type", "media_type"),
    [
        (image(), OCI_IMAGE, OCI_IMAGE),
        (image(), DOCKER_IMAGE, DOCKER_IMAGE),
        (image(mediaType=OCI_IMAGE), "", OCI_IMAGE),
        (image(mediaType=OCI_IMAGE), "application/json", OCI_IMAGE),
        (image(mediaType=OCI_IMAGE), f"{OCI_IMAGE}; charset=utf-8", OCI_IMAGE),
        (image(mediaType=OCI_IMAGE), OCI_IMAGE.upper(), OCI_IMAGE),
        (image(mediaType=OCI_IMAGE.upper()), "", OCI_IMAGE),
        (image(), "", OCI_IMAGE),
        (index(), "", OCI_INDEX),
        (index(), DOCKER_LIST, DOCKER_LIST),
        ({}, "application/vnd.Example.Thing+json", "application/vnd.Example.Thing+json"),
    ],
)  # fmt: skip
def test_a_media_type_is_what_both_sides_say(content: Any, content_type: str, media_type: str) -> None:
    assert read(content, content_type).media_type == media_type


DEEP = 100_000
REFUSED: dict[str, tuple[Any, str, str]] = {
    "nothing": (b"", OCI_IMAGE, "not JSON"),
    "a list": (b"[]", OCI_IMAGE, "object"),
    "a text": (b'"a"', OCI_IMAGE, "object"),
    "a number": (b"1", OCI_IMAGE, "object"),
    "null": (b"null", OCI_IMAGE, "object"),
    "cut short": (b'{"a":', OCI_IMAGE, "not JSON"),
    "something behind": (b"{}{}", OCI_IMAGE, "not JSON"),
    "a byte order mark": (b"\xef\xbb\xbf{}", OCI_IMAGE, "not JSON"),
    "UTF-16": ('{"a":1}'.encode("utf-16"), OCI_IMAGE, "UTF-8"),
    "invalid UTF-8": (b'{"a":"\xff"}', OCI_IMAGE, "UTF-8 at byte 6"),
    "overlong UTF-8": (b'{"a":"\xc0\xaf"}', OCI_IMAGE, "UTF-8"),
    "a surrogate in UTF-8": (b'{"a":"\xed\xa0\x80"}', OCI_IMAGE, "UTF-8"),
    "an escaped half surrogate": (
        b'{"schemaVersion":2,"manifests":[],"annotations":{"a":"\\ud800"}}',
        OCI_INDEX,
        "surrogate",
    ),
    "a half surrogate as key": (b'{"schemaVersion":2,"manifests":[],"\\uDC00":1}', OCI_INDEX, "surrogate"),
    "NaN": (b'{"a":NaN}', OCI_IMAGE, "NaN"),
    "Infinity": (b'{"a":-Infinity}', OCI_IMAGE, "Infinity"),
    "lists nested deeply": (b'{"a":' + b"[" * DEEP + b"]" * DEEP + b"}", OCI_IMAGE, "deep"),
    "objects nested deeply": (b'{"a":' * DEEP + b"1" + b"}" * DEEP, OCI_IMAGE, "deep"),
    "a number of 10,000 digits": (b'{"a":' + b"9" * 10_000 + b"}", OCI_IMAGE, "not JSON"),
    "a key twice": (b'{"schemaVersion":2,"schemaVersion":2,"manifests":[]}', OCI_INDEX, "twice"),
    "a key twice, once escaped": (b'{"schemaVersion":2,"manifests":[],"a":1,"\\u0061":2}', OCI_INDEX, "twice"),
    "a key twice further in": (b'{"schemaVersion":2,"manifests":[],"a":[{"b":1,"b":1}]}', OCI_INDEX, "twice"),
    "schema 1": ({"schemaVersion": 1, "name": "a", "fsLayers": []}, "", "schema 1"),
    "schema 1 by type": ({}, "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1"),
    "schema 1 by another type": ({"schemaVersion": 1}, OCI_IMAGE, "schema 1"),
    "no schema version": (without(image(), "schemaVersion"), OCI_IMAGE, "schemaVersion"),
    "schema 3": (image(schemaVersion=3), OCI_IMAGE, "schemaVersion"),
    "schema as text": (image(schemaVersion="2"), OCI_IMAGE, "schemaVersion"),
    "two media types": (image(mediaType=OCI_INDEX), OCI_IMAGE, "Content-Type"),
    "no media type": ({"schemaVersion": 2}, "", "media type"),
    "a media type that is none": ({"mediaType": "hello"}, "", "mediaType"),
    "a media type with a line break": ({"mediaType": "a/b\r\nx: y"}, "", "mediaType"),
    "a media type of letters beyond ASCII": ({"mediaType": "a/é"}, "", "mediaType"),
    "a media type that is a number": ({"mediaType": 1}, "", "mediaType"),
    "a media type too long": ({"mediaType": "a/" + "b" * 254}, "", "mediaType"),
    "a content type that is none": ({}, "hello", "Content-Type"),
    "a content type beyond ASCII": ({}, "a/é", "Content-Type"),
    "a content type too long": ({}, "a/" + "b" * 254, "Content-Type"),
    "no config": (without(image(), "config"), OCI_IMAGE, "config"),
    "a config that is a text": (image(config="a"), OCI_IMAGE, "config"),
    "layers that are no list": (image(layers={}), OCI_IMAGE, "layers"),
    "a layer that is null": (image(layers=[None]), OCI_IMAGE, "layers[0]"),
    "an index without manifests": (without(index(), "manifests"), OCI_INDEX, "manifests"),
    "manifests that are a text": (index(manifests="a"), OCI_INDEX, "manifests"),
    "a size below zero": (image(layers=[descriptor(size=-1)]), OCI_IMAGE, "layers[0].size"),
    "a size past 63 bits": (image(layers=[descriptor(size=2**63)]), OCI_IMAGE, "layers[0].size"),
    "a size of 4,000 digits": (image(layers=[descriptor(size=10**4000)]), OCI_IMAGE, "layers[0].size"),
    "a size with a point": (image(layers=[descriptor(size=1.0)]), OCI_IMAGE, "layers[0].size"),
    "a size beyond any float": (
        b'{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"x","size":1e999}}',
        OCI_IMAGE,
        "size",
    ),
    "a size that is true": (image(layers=[descriptor(size=True)]), OCI_IMAGE, "layers[0].size"),
    "no size": (image(layers=[without(descriptor(), "size")]), OCI_IMAGE, "layers[0].size"),
    "no digest": (image(layers=[without(descriptor(), "digest")]), OCI_IMAGE, "layers[0].digest"),
    "a malformed digest": (image(layers=[descriptor(digest="sha256:x")]), OCI_IMAGE, "layers[0].digest"),
    "an upper-case digest": (image(layers=[descriptor(digest=digest("A"))]), OCI_IMAGE, "layers[0].digest"),
    "an unknown algorithm": (image(layers=[descriptor(digest="md5:" + "a" * 32)]), OCI_IMAGE, "layers[0].digest"),
    "no media type of a layer": (image(layers=[without(descriptor(), "mediaType")]), OCI_IMAGE, "layers[0].mediaType"),
    "a subject that is a text": (image(subject=digest()), OCI_IMAGE, "subject"),
    "a subject without a digest": (image(subject=without(descriptor(), "digest")), OCI_IMAGE, "subject.digest"),
    "annotations that are a list": (image(annotations=[]), OCI_IMAGE, "annotations"),
    "an annotation that is a number": (image(annotations={"a": 1}), OCI_IMAGE, "annotations"),
    "an artifact type that is a number": (image(artifactType=1), OCI_IMAGE, "artifactType"),
    "NUL in an artifact type": (image(artifactType="a\0/b"), OCI_IMAGE, "artifactType"),
    "NUL in the type of a config": (image(config=descriptor("c", "a\0/b")), OCI_IMAGE, "config.mediaType"),
    "too many references": (image(layers=[descriptor()] * 100), OCI_IMAGE, "101 references"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_manifest_is_refused_with_a_word_on_what_and_where(name: str) -> None:
    content, content_type, mention = REFUSED[name]

    with pytest.raises(ManifestInvalid) as refused:
        read(content, content_type)

    assert mention in str(refused.value)
    assert len(str(refused.value)) < 400
    str(refused.value).encode()


@pytest.mark.parametrize("repeated", [0, 199_999])
def test_a_repeated_key_among_many_is_found_at_once(repeated: int) -> None:
    keys = [*range(200_000), repeated]
    content = b"{" + b",".join(b'"%d":0' % key for key in keys) + b"}"

    started = time.perf_counter()
    with pytest.raises(ManifestInvalid, match="twice"):
        read(content)

    assert time.perf_counter() - started < 5


def test_a_pair_of_surrogates_is_a_letter() -> None:
    assert read(b'{"schemaVersion":2,"manifests":[],"annotations":{"a":"\\ud83d\\ude00"}}', OCI_INDEX).annotations == {
        "a": "😀"
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
odd_values = json_values | st.sampled_from(
    [
        digest(),
        digest("A"),
        descriptor(),
        [descriptor()],
        [descriptor()] * 3,
        -1,
        2**63 - 1,
        2**63,
        2,
        OCI_IMAGE,
        {},
        [],
        "",
    ]
)
content_types = (
    st.sampled_from([OCI_IMAGE, OCI_INDEX, DOCKER_IMAGE, DOCKER_LIST, OCI_ARTIFACT, "", "a/b", "é"]) | st.text()
)


@st.composite
def near_manifests(draw: st.DrawFn) -> dict[str, Any]:
    """A sound manifest with something exchanged, added or taken away, somewhere."""
    manifest: dict[str, Any] = copy.deepcopy(
        draw(st.sampled_from([image(), index(), {"mediaType": OCI_ARTIFACT, "blobs": [descriptor()]}]))
    )
    for _ in range(draw(st.integers(0, 3))):
        place: Any = draw(st.sampled_from(_objects(manifest)))
        name = draw(st.sampled_from([*place, "subject", "annotations", "artifactType", "mediaType", "schemaVersion"]))
        if draw(st.booleans()):
            place[name] = copy.deepcopy(draw(odd_values))
        else:
            place.pop(name, None)
    return manifest


def _objects(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [found for entry in value for found in _objects(entry)]
    if isinstance(value, dict):
        return [value, *(found for entry in value.values() for found in _objects(entry))]
    return []


def check(content: bytes, content_type: str) -> None:
    """A sound document or ManifestInvalid; what is found can be written as JSON, SQL text and headers."""
    try:
        document = documents.read(content, content_type, max_references=50)
    except ManifestInvalid:
        return
    assert document.media_type.encode("ascii").isascii()
    assert "/" in document.media_type
    assert len(document.references) <= 50
    for entry in document.references:
        assert Digest.parse(entry.digest) == entry.digest
        assert 0 <= entry.size < 2**63
        entry.media_type.encode()
    assert document.subject is None or Digest.parse(document.subject)
    (document.artifact_type or "").encode()
    json.dumps(document.annotations, ensure_ascii=False).encode()


@given(near_manifests() | json_values, content_types)
def test_what_is_near_a_manifest_is_read_or_refused(manifest: Any, content_type: str) -> None:
    check(json.dumps(manifest).encode(), content_type)


@given(st.binary(), content_types)
def test_any_bytes_are_read_or_refused(content: bytes, content_type: str) -> None:
    check(content, content_type)


@settings(max_examples=40 if not profiles.SOAK else 5_000)
@given(near_manifests(), content_types, st.integers(0))
def test_a_manifest_with_a_few_bytes_changed_is_read_or_refused(manifest: Any, content_type: str, seed: int) -> None:
    content = bytearray(json.dumps(manifest).encode())
    chosen = random.Random(seed)
    for _ in range(20):
        for _ in range(chosen.randint(1, 3)):
            content[chosen.randrange(len(content))] = chosen.choice(b'{}[]",:\\u0d8 19-e\x00\xff')
        check(bytes(content), content_type)


@given(near_manifests())
def test_reading_twice_gives_the_same(manifest: Any) -> None:
    content = json.dumps(manifest).encode()
    try:
        document = documents.read(content, "", max_references=50)
    except ManifestInvalid:
        return
    assert documents.read(content, document.media_type, max_references=50) == document
