"""Tag lists, the catalog and referrers of a real server: order, pages, prefixes, filters."""

import json
from typing import Any

import httpx
import pytest

from pierhead.registry.documents import OCI_IMAGE, OCI_INDEX
from tests.distribution.wire import image, push_blob, push_image, push_manifest, refused, sha256

TAGS = ["a", "a-b", "a.b", "a0", "aa", "A", "B", "_", "0", "10", "9", "latest", "a_b", "b", "a" * 128]
REPOSITORIES = ["pages/a", "pages/a-b", "pages/a.b", "pages/a/b", "pages/a0", "pages/a_b", "pages/aa", "pages/b"]


def _pages(client: httpx.Client, path: str | None, key: str) -> list[list[Any]]:
    """All pages from the first one on, by their links."""
    pages = []
    while path is not None:
        response = client.get(path)
        assert response.status_code == 200, response.text
        pages.append(response.json()[key])
        path = response.links.get("next", {}).get("url")
        assert len(pages) < 200
    return pages


@pytest.fixture
def tagged(client: httpx.Client) -> str:
    if client.get("/v2/listed/tags/list").status_code == 404:
        digest = push_image(client, "listed", TAGS[0])
        content = client.get(f"/v2/listed/manifests/{digest}").content
        for tag in TAGS[1:]:
            push_manifest(client, "listed", tag, content)
    return "/v2/listed/tags/list"


def test_tags_are_listed_in_the_order_of_their_bytes(client: httpx.Client, tagged: str) -> None:
    response = client.get(tagged)

    assert response.json() == {"name": "listed", "tags": sorted(TAGS)}
    assert "link" not in response.headers


@pytest.mark.parametrize("n", [1, 2, 4, 7, 14, 15, 16, 1000])
def test_pages_of_tags_are_full_and_end_without_a_link(client: httpx.Client, tagged: str, n: int) -> None:
    pages = _pages(client, f"{tagged}?n={n}", "tags")

    assert [tag for page in pages for tag in page] == sorted(TAGS)
    assert all(len(page) == n for page in pages[:-1])
    assert 0 < len(pages[-1]) <= n


@pytest.mark.parametrize("last", ["", *TAGS, "aaa", "zz", "~", "a" * 500, "Ω"])
def test_a_page_begins_past_the_last_one(client: httpx.Client, tagged: str, last: str) -> None:
    assert client.get(tagged, params={"last": last}).json()["tags"] == [tag for tag in sorted(TAGS) if tag > last]


def test_no_tag_at_all_may_be_asked_for(client: httpx.Client, tagged: str) -> None:
    response = client.get(tagged, params={"n": 0})

    assert response.json() == {"name": "listed", "tags": []}
    assert "link" not in response.headers


def test_a_huge_page_is_as_long_as_is_allowed(client: httpx.Client, tagged: str) -> None:
    assert client.get(tagged, params={"n": "9" * 500}).json()["tags"] == sorted(TAGS)


def test_an_unknown_repository_has_no_tag_list(client: httpx.Client) -> None:
    refused(client.get("/v2/listed/none/tags/list"), 404, "NAME_UNKNOWN")
    refused(client.get("/v2/liste/tags/list"), 404, "NAME_UNKNOWN")


def test_a_deleted_tag_is_listed_no_more_and_its_manifest_stays(client: httpx.Client) -> None:
    digest = push_image(client, "listed/deleting", "a")
    push_image(client, "listed/deleting", "b")

    assert client.delete("/v2/listed/deleting/manifests/a").status_code == 202

    assert client.get("/v2/listed/deleting/tags/list").json()["tags"] == ["b"]
    assert client.head(f"/v2/listed/deleting/manifests/{digest}").status_code == 200
    assert client.delete(f"/v2/listed/deleting/manifests/{digest}").status_code == 202
    assert client.get("/v2/listed/deleting/tags/list").json()["tags"] == []


def test_repositories_that_are_prefixes_of_others_are_all_listed(client: httpx.Client) -> None:
    for name in REPOSITORIES:
        push_image(client, name, "latest")

    for n in (1, 3, 1000):
        names = [name for page in _pages(client, f"/v2/_catalog?n={n}", "repositories") for name in page]

        assert names == sorted(names)
        assert [name for name in names if name.startswith("pages/")] == sorted(REPOSITORIES)


def test_no_repository_at_all_may_be_asked_for(client: httpx.Client) -> None:
    response = client.get("/v2/_catalog", params={"n": 0})

    assert response.json() == {"repositories": []}
    assert "link" not in response.headers


def test_a_page_of_the_catalog_begins_past_the_last_one(client: httpx.Client) -> None:
    for name in REPOSITORIES:
        push_image(client, name, "latest")

    names = client.get("/v2/_catalog", params={"last": "pages/a.b", "n": 2}).json()["repositories"]

    assert names == ["pages/a/b", "pages/a0"]


def test_a_repository_without_a_manifest_is_not_in_the_catalog(client: httpx.Client) -> None:
    push_blob(client, "pages/blobs-only", b"x")

    assert "pages/blobs-only" not in client.get("/v2/_catalog").json()["repositories"]


# Referrers


def _referring(client: httpx.Client, repository: str, subject: str, number: int, artifact_type: str) -> str:
    """Pushes a manifest that names a subject, and returns its digest."""
    push_blob(client, repository, b"{}")
    content = image(
        artifactType=artifact_type,
        annotations={"number": str(number)},
        subject={"mediaType": OCI_IMAGE, "digest": subject, "size": 10},
    )
    response = push_manifest(client, repository, sha256(content), content)
    assert response.status_code == 201, response.text
    assert response.headers["oci-subject"] == subject
    return sha256(content)


def test_referrers_are_listed_with_all_that_the_specification_wants(client: httpx.Client) -> None:
    subject = sha256(b"described")
    digest = _referring(client, "referring/described", subject, 1, "example/sbom")

    response = client.get(f"/v2/referring/described/referrers/{subject}")

    assert response.headers["content-type"] == OCI_INDEX
    size = len(client.get(f"/v2/referring/described/manifests/{digest}").content)
    assert response.json() == {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [
            {
                "mediaType": OCI_IMAGE,
                "digest": digest,
                "size": size,
                "artifactType": "example/sbom",
                "annotations": {"number": "1"},
            }
        ],
    }


@pytest.mark.parametrize("repository", ["referring/paged", "referring/none"])
def test_what_nobody_refers_to_has_an_empty_list(client: httpx.Client, repository: str) -> None:
    response = client.get(f"/v2/{repository}/referrers/{sha256(b'nobody')}")

    assert (response.status_code, response.json()["manifests"]) == (200, [])


@pytest.mark.parametrize(
    "digest", ["sha256:x", "latest", "md5:" + "a" * 32, "sha256:" + "A" * 64, "sha512:" + "a" * 64]
)
def test_a_malformed_digest_has_no_referrers(client: httpx.Client, digest: str) -> None:
    refused(client.get(f"/v2/referring/paged/referrers/{digest}"), 400, "DIGEST_INVALID")


def test_referrers_are_filtered_and_that_is_told(client: httpx.Client) -> None:
    subject = sha256(b"filtered")
    found = {
        kind: _referring(client, "referring/filtered", subject, 1, kind) for kind in ("a/sbom", "a/signature", "a/x+y")
    }

    for kind, digest in found.items():
        response = client.get(f"/v2/referring/filtered/referrers/{subject}", params={"artifactType": kind})

        assert [entry["digest"] for entry in response.json()["manifests"]] == [digest]
        assert response.headers["oci-filters-applied"] == "artifactType"
    everything = client.get(f"/v2/referring/filtered/referrers/{subject}")
    assert "oci-filters-applied" not in everything.headers
    assert len(everything.json()["manifests"]) == 3
    assert (
        client.get(f"/v2/referring/filtered/referrers/{subject}", params={"artifactType": "a"}).json()["manifests"]
        == []
    )


def test_referrers_come_in_pages_with_the_filter_kept(client: httpx.Client) -> None:
    subject = sha256(b"paged")
    wanted = sorted(_referring(client, "referring/paged", subject, number, "a/x+y&n=9") for number in range(7))
    for number in range(3):
        _referring(client, "referring/paged", subject, number, "a/other")

    pages = _pages(client, f"/v2/referring/paged/referrers/{subject}?n=3&artifactType=a%2Fx%2By%26n%3D9", "manifests")

    assert [len(page) for page in pages] == [3, 3, 1]
    assert [entry["digest"] for page in pages for entry in page] == wanted


def test_the_list_that_older_clients_kept_by_hand_is_folded_in(client: httpx.Client) -> None:
    subject = sha256(b"by hand")
    new = _referring(client, "referring/folded", subject, 1, "a/new")
    old = push_image(client, "referring/folded", "old")
    entries = [
        {"mediaType": OCI_IMAGE, "digest": digest, "size": 10, "artifactType": kind}
        for digest, kind in ((old, "a/old"), (new, "a/new"))
    ]
    fallback = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
    tag = subject.replace(":", "-")
    assert push_manifest(client, "referring/folded", tag, fallback, OCI_INDEX).status_code == 201

    listed = client.get(f"/v2/referring/folded/referrers/{subject}").json()["manifests"]
    filtered = client.get(f"/v2/referring/folded/referrers/{subject}", params={"artifactType": "a/old"}).json()[
        "manifests"
    ]

    assert sorted(entry["digest"] for entry in listed) == sorted([old, new])
    assert [entry["digest"] for entry in filtered] == [old]


def test_a_deleted_referrer_is_listed_no_more(client: httpx.Client) -> None:
    subject = sha256(b"deleted")
    digest = _referring(client, "referring/deleted", subject, 1, "a/b")

    assert client.delete(f"/v2/referring/deleted/manifests/{digest}").status_code == 202

    assert client.get(f"/v2/referring/deleted/referrers/{subject}").json()["manifests"] == []
