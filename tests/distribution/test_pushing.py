"""Pushing and deleting manifests on a real server: bytes, tags, limits, and what is still needed."""

import json

import httpx
import pytest

from pierhead.registry.documents import DOCKER_IMAGE, DOCKER_LIST, OCI_ARTIFACT, OCI_IMAGE, OCI_INDEX
from tests.distribution.wire import (
    CONFIG_TYPE,
    LAYER_TYPE,
    descriptor,
    image,
    nothing_stored,
    push_blob,
    push_image,
    push_manifest,
    refused,
    sha256,
    sha512,
)
from tests.running import Running

REPOSITORY = "pushing/app"
ODD = b'{ "schemaVersion" : 2,\r\n\t"manifests": [ ], "x": 1.10, "y":"\\u0041\xc3\xa9", "z": 1E2 }\n\n'


@pytest.mark.parametrize(
    "media_type", [OCI_INDEX, DOCKER_LIST, "application/vnd.Example.Thing+json", "application/json"]
)
@pytest.mark.parametrize("by", ["tag", "sha256", "sha512"])
def test_a_manifest_comes_back_byte_for_byte(client: httpx.Client, media_type: str, by: str) -> None:
    reference = {"tag": "odd", "sha256": sha256(ODD), "sha512": sha512(ODD)}[by]

    pushed = push_manifest(client, REPOSITORY, reference, ODD, media_type)
    got = client.get(f"/v2/{REPOSITORY}/manifests/{reference}")
    told = client.head(f"/v2/{REPOSITORY}/manifests/{reference}")

    assert pushed.status_code == 201
    assert got.content == ODD
    digest = sha256(ODD) if by == "tag" else reference
    assert pushed.headers["docker-content-digest"] == digest == got.headers["docker-content-digest"]
    assert pushed.headers["location"] == f"/v2/{REPOSITORY}/manifests/{digest}"
    assert got.headers["etag"] == f'"{digest}"'
    assert (
        got.headers["content-type"]
        == told.headers["content-type"]
        == (OCI_INDEX if media_type == "application/json" else media_type)
    )
    assert told.headers["content-length"] == str(len(ODD))


@pytest.mark.parametrize(
    "accept", ["", "*/*", DOCKER_IMAGE, "text/html", f"{OCI_INDEX}, {DOCKER_LIST};q=0.5", "a" * 5000]
)
def test_a_manifest_is_served_as_it_was_pushed_whatever_is_accepted(client: httpx.Client, accept: str) -> None:
    push_manifest(client, REPOSITORY, "accepted", ODD, OCI_INDEX)

    response = client.get(f"/v2/{REPOSITORY}/manifests/accepted", headers={"accept": accept})

    assert (response.status_code, response.content, response.headers["content-type"]) == (200, ODD, OCI_INDEX)


def test_a_docker_image_and_an_artifact_are_taken(client: httpx.Client) -> None:
    push_blob(client, REPOSITORY, b"{}")
    docker = json.dumps({**json.loads(image()), "mediaType": DOCKER_IMAGE}).encode()
    artifact = json.dumps(
        {"mediaType": OCI_ARTIFACT, "artifactType": "a/b", "blobs": [descriptor(b"{}", LAYER_TYPE)]}
    ).encode()

    assert push_manifest(client, REPOSITORY, "docker", docker, DOCKER_IMAGE).status_code == 201
    assert push_manifest(client, REPOSITORY, "artifact", artifact, OCI_ARTIFACT).status_code == 201


def test_a_layer_that_is_kept_elsewhere_need_not_be_here(client: httpx.Client) -> None:
    push_blob(client, REPOSITORY, b"{}")
    layer = descriptor(b"windows", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
    content = json.dumps({**json.loads(image()), "layers": [layer]}).encode()

    assert push_manifest(client, REPOSITORY, "foreign", content).status_code == 201


def test_one_push_may_set_many_tags(client: httpx.Client) -> None:
    push_blob(client, "pushing/tags", b"{}")
    tags = [f"t{number}" for number in range(20)]
    digest = sha256(image())

    response = client.put(
        f"/v2/pushing/tags/manifests/{digest}",
        params={"tag": [*tags, "t0"]},
        content=image(),
        headers={"content-type": OCI_IMAGE},
    )

    assert response.status_code == 201
    assert response.headers.get_list("oci-tag") == tags
    assert client.get("/v2/pushing/tags/tags/list").json()["tags"] == sorted(tags)
    assert {client.head(f"/v2/pushing/tags/manifests/{tag}").headers["docker-content-digest"] for tag in tags} == {
        digest
    }


@pytest.mark.parametrize(
    ("tags", "status", "code"),
    [(["good", ".bad"], 400, "MANIFEST_INVALID"), (["good", ""], 400, "MANIFEST_INVALID"),
     (["a" * 129], 400, "MANIFEST_INVALID"), ([f"t{number}" for number in range(101)], 414, "MANIFEST_INVALID")],
)  # fmt: skip
def test_one_bad_tag_among_many_sets_none(
    server: Running, client: httpx.Client, tags: list[str], status: int, code: str
) -> None:
    push_blob(client, "pushing/no-tags", b"{}")

    with nothing_stored(server):
        response = client.put(
            f"/v2/pushing/no-tags/manifests/{sha256(image())}",
            params={"tag": tags},
            content=image(),
            headers={"content-type": OCI_IMAGE},
        )

    refused(response, status, code)


def test_a_subject_may_be_missing_and_is_told(client: httpx.Client) -> None:
    push_blob(client, REPOSITORY, b"{}")
    subject = {"mediaType": OCI_IMAGE, "digest": sha256(b"nowhere"), "size": 7}

    response = push_manifest(client, REPOSITORY, "subject", image(subject=subject))

    assert (response.status_code, response.headers["oci-subject"]) == (201, sha256(b"nowhere"))
    assert "oci-subject" not in push_manifest(client, REPOSITORY, "subject", image()).headers


@pytest.mark.parametrize("size", [3_900_000, 4 << 20])
def test_a_large_manifest_is_taken(client: httpx.Client, size: int) -> None:
    push_blob(client, REPOSITORY, b"{}")
    bare = len(image(annotations={"a": ""}))
    content = image(annotations={"a": "x" * (size - bare)})

    assert len(content) == size
    assert push_manifest(client, REPOSITORY, "large", content).status_code == 201
    assert client.get(f"/v2/{REPOSITORY}/manifests/large").content == content


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("size", [(4 << 20) + 1, 20 << 20])
def test_a_manifest_that_is_too_large_is_refused(
    server: Running, client: httpx.Client, size: int, streamed: bool
) -> None:
    content = b'{"a":"' + b"x" * (size - 8) + b'"}'

    with nothing_stored(server):
        response = client.put(
            f"/v2/{REPOSITORY}/manifests/too-large",
            content=iter([content[: 1 << 20], content[1 << 20 :]]) if streamed else content,
            headers={"content-type": OCI_IMAGE},
        )

    refused(response, 413, "SIZE_INVALID", "manifests.max_size")


# What a live manifest needs


def test_a_blob_that_a_manifest_needs_cannot_be_deleted(server: Running, client: httpx.Client) -> None:
    push_blob(client, "pushing/needed", b"layer")
    push_blob(client, "pushing/needed", b"{}")
    content = image(layers=[b"layer"])
    push_manifest(client, "pushing/needed", "latest", content)

    for blob in (b"layer", b"{}"):
        with nothing_stored(server):
            response = client.delete(f"/v2/pushing/needed/blobs/{sha256(blob)}")
        refused(response, 409, "DENIED", sha256(content), sha256(blob))

    assert client.delete(f"/v2/pushing/needed/manifests/{sha256(content)}").status_code == 202
    assert client.delete(f"/v2/pushing/needed/blobs/{sha256(b'layer')}").status_code == 202
    assert client.get(f"/v2/pushing/needed/blobs/{sha256(b'layer')}").status_code == 404


def test_a_manifest_that_an_index_lists_cannot_be_deleted(server: Running, client: httpx.Client) -> None:
    digest = push_image(client, "pushing/listed", "image")
    content = json.dumps(
        {"schemaVersion": 2, "manifests": [{"mediaType": OCI_IMAGE, "digest": digest, "size": 100}]}
    ).encode()
    push_manifest(client, "pushing/listed", "index", content, OCI_INDEX)

    with nothing_stored(server):
        response = client.delete(f"/v2/pushing/listed/manifests/{digest}")

    refused(response, 409, "DENIED", sha256(content), digest)
    assert client.delete("/v2/pushing/listed/manifests/image").status_code == 202
    assert client.delete(f"/v2/pushing/listed/manifests/{sha256(content)}").status_code == 202
    # Its image went along: no tag pointed to that any more.
    assert client.delete(f"/v2/pushing/listed/manifests/{digest}").status_code == 404


def test_another_repositorys_manifest_needs_nothing_here(client: httpx.Client) -> None:
    for name in ("pushing/one", "pushing/two"):
        push_image(client, name, "latest", "shared")
    config = json.loads(client.get("/v2/pushing/one/manifests/latest").content)["config"]["digest"]
    digest = client.head("/v2/pushing/two/manifests/latest").headers["docker-content-digest"]

    assert client.delete(f"/v2/pushing/two/manifests/{digest}").status_code == 202
    assert client.delete(f"/v2/pushing/two/blobs/{config}").status_code == 202
    assert client.get(f"/v2/pushing/one/blobs/{config}").status_code == 200


def test_the_same_bytes_under_another_type_are_checked_as_that_type(server: Running, client: httpx.Client) -> None:
    """Bytes of an unknown type may lack their parts; as an image they may not."""
    content = json.dumps({"schemaVersion": 2, "config": descriptor(b"missing", CONFIG_TYPE), "layers": []}).encode()
    assert push_manifest(client, "pushing/retyped", "thing", content, "application/vnd.example+json").status_code == 201

    response = push_manifest(client, "pushing/retyped", "image", content, OCI_IMAGE)

    refused(response, 404, "MANIFEST_BLOB_UNKNOWN", sha256(b"missing"))
