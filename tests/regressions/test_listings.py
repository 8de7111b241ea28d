"""Listings, where names begin alike."""

import httpx

from tests.distribution.wire import push_image, push_manifest

TAGS = ["1", "1-rc", "1.0", "1.0-alpine", "1.0.0", "1.1", "10", "10.0", "1_0", "latest", "latest-1"]


def listed(client: httpx.Client, path: str, key: str, n: int) -> list[str]:
    found: list[str] = []
    following: str | None = f"{path}?n={n}"
    while following:
        response = client.get(following)
        assert response.status_code == 200
        found += response.json()[key]
        following = response.links.get("next", {}).get("url")
    return found


def test_tags_that_are_prefixes_of_others_are_all_listed(client: httpx.Client) -> None:
    """distribution#4898: from S3, a page lost the tags that others begin with."""
    content = client.get(f"/v2/prefixes/manifests/{push_image(client, 'prefixes', TAGS[0])}").content
    for tag in TAGS[1:]:
        push_manifest(client, "prefixes", tag, content)

    for n in (1, 2, 3, 5, 11):
        assert listed(client, "/v2/prefixes/tags/list", "tags", n) == sorted(TAGS)


def test_what_begins_with_a_deleted_name_is_still_listed(client: httpx.Client) -> None:
    """distribution#4904: where a repository went, the page lost those whose names begin with its own."""
    for name in ("began", "began/more", "began-again", "begann"):
        push_image(client, name, "1")
        push_image(client, name, "1.0")
    digest = client.head("/v2/began/manifests/1").headers["docker-content-digest"]

    client.delete("/v2/began-again/manifests/1").raise_for_status()
    client.delete(f"/v2/began/manifests/{digest}").raise_for_status()

    for n in (1, 2, 1000):
        names = listed(client, "/v2/_catalog", "repositories", n)
        assert {"began/more", "began-again", "begann"} <= set(names)
        assert listed(client, "/v2/began-again/tags/list", "tags", n) == ["1.0"]
