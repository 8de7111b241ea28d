"""If-Match and If-None-Match on PUT and DELETE of manifests, over the wire: compare, and swap."""

import asyncio
import re

import httpx
import pytest

from tests.distribution.counting import counting
from tests.distribution.wire import ask, image, push_blob, push_image, push_manifest, refused, sha256
from tests.running import Running

ABSENT = "sha256:" + "0" * 64


@pytest.fixture
def repository(request: pytest.FixtureRequest) -> str:
    """One for each test."""
    return f"swapping/{re.sub(r'[^a-z0-9]+', '-', request.node.name).strip('-')[:80]}"


def put(
    client: httpx.Client, repository: str, reference: str, text: str, *conditions: tuple[str, str]
) -> httpx.Response:
    config = b'{"text": "%b"}' % text.encode()
    push_blob(client, repository, config)
    headers = [("content-type", "application/vnd.oci.image.manifest.v1+json"), *conditions]
    return client.put(f"/v2/{repository}/manifests/{reference}", content=image(config), headers=headers)


def delete(client: httpx.Client, repository: str, reference: str, *conditions: tuple[str, str]) -> httpx.Response:
    return client.delete(f"/v2/{repository}/manifests/{reference}", headers=list(conditions))


def if_match(*digests: str) -> tuple[str, str]:
    return "if-match", ", ".join(digest if digest == "*" else f'"{digest}"' for digest in digests)


ONLY_NEW = ("if-none-match", "*")


def points_to(client: httpx.Client, repository: str, reference: str) -> str | None:
    answer = client.head(f"/v2/{repository}/manifests/{reference}")
    return answer.headers["docker-content-digest"] if answer.status_code == 200 else None


def test_a_tag_moves_where_it_is_what_was_expected_and_else_stays(client: httpx.Client, repository: str) -> None:
    one = push_image(client, repository, "v1", "one")

    error = refused(put(client, repository, "v1", "two", if_match(ABSENT)), 412, "DENIED", one)
    assert "look again" in error["message"]
    assert points_to(client, repository, "v1") == one
    moved = put(client, repository, "v1", "two", if_match(ABSENT, one))
    assert moved.status_code == 201
    assert points_to(client, repository, "v1") == moved.headers["docker-content-digest"] != one


def test_the_etag_of_a_pull_is_what_if_match_takes(client: httpx.Client, repository: str) -> None:
    push_image(client, repository, "v1", "one")
    etag = client.head(f"/v2/{repository}/manifests/v1").headers["etag"]

    assert put(client, repository, "v1", "two", ("if-match", etag)).status_code == 201
    refused(put(client, repository, "v1", "three", ("if-match", etag)), 412, "DENIED")


def test_a_missing_tag_matches_nothing(client: httpx.Client, repository: str) -> None:
    one = push_image(client, repository, "v1", "one")

    for condition in (if_match("*"), if_match(one), if_match(ABSENT)):
        refused(put(client, repository, "v2", "one", condition), 412, "DENIED", "not there")
    refused(put(client, f"{repository}/none", "v1", "one", if_match("*")), 412, "DENIED")
    assert points_to(client, repository, "v2") is None
    assert put(client, repository, "v1", "two", if_match("*")).status_code == 201


def test_a_refused_push_leaves_no_manifest(client: httpx.Client, repository: str) -> None:
    push_image(client, repository, "v1", "one")
    refused(put(client, repository, "v1", "two", if_match(ABSENT)), 412, "DENIED")

    assert points_to(client, repository, sha256(image(b'{"text": "two"}'))) is None


def test_a_push_that_was_done_already_succeeds_again(client: httpx.Client, repository: str) -> None:
    """RFC 9110 §13.1.1: the client did not hear the first answer, and asks once more."""
    one = push_image(client, repository, "v1", "one")
    for _ in range(2):
        assert put(client, repository, "v1", "two", if_match(one)).status_code == 201


def test_what_shall_be_new_is_refused_where_it_is_there_even_if_it_is_the_same(
    client: httpx.Client, repository: str
) -> None:
    assert put(client, repository, "v1", "one", ONLY_NEW).status_code == 201
    for text in ("one", "two"):
        refused(put(client, repository, "v1", text, ONLY_NEW), 412, "DENIED")
    assert delete(client, repository, "v1").status_code == 202
    assert put(client, repository, "v1", "two", ONLY_NEW).status_code == 201


def test_if_none_match_names_what_a_tag_may_not_be(client: httpx.Client, repository: str) -> None:
    one = push_image(client, repository, "v1", "one")

    for value in (f'"{one}"', f'W/"{one}"', f'"{ABSENT}", "{one}"'):
        refused(put(client, repository, "v1", "two", ("if-none-match", value)), 412, "DENIED")
    assert put(client, repository, "v1", "two", ("if-none-match", f'"{one[:-1]}"')).status_code == 201


def test_several_tags_move_all_or_none(client: httpx.Client, repository: str) -> None:
    one, two = push_image(client, repository, "v1", "one"), push_image(client, repository, "v2", "two")
    three = sha256(image(b'{"text": "three"}'))

    for reference in ("v1?tag=v2", f"{three}?tag=v1&tag=v2"):
        refused(put(client, repository, reference, "three", if_match(one)), 412, "DENIED", two)
        refused(put(client, repository, f"{reference}&tag=v3", "three", if_match(one, two)), 412, "DENIED")
        refused(put(client, repository, reference.replace("v1", "v0"), "three", ONLY_NEW), 412, "DENIED")
        assert [points_to(client, repository, tag) for tag in ("v0", "v1", "v2", "v3", three)] == [
            *(None, one, two),
            *(None, None),
        ]
    answer = put(client, repository, f"{three}?tag=v1&tag=v2", "three", if_match(one, two))
    assert (answer.status_code, answer.headers.get_list("oci-tag")) == (201, ["v1", "v2"])
    assert put(client, repository, "v4?tag=v5", "three", ONLY_NEW).status_code == 201


def test_without_a_tag_the_manifest_itself_is_asked(client: httpx.Client, repository: str) -> None:
    one = sha256(image(b'{"text": "one"}'))

    refused(put(client, repository, one, "one", if_match("*")), 412, "DENIED", "not there")
    assert put(client, repository, one, "one", ONLY_NEW).status_code == 201
    refused(put(client, repository, one, "one", ONLY_NEW), 412, "DENIED")
    assert put(client, repository, one, "one", if_match("*")).status_code == 201
    assert delete(client, repository, one).status_code == 202
    refused(put(client, repository, one, "one", if_match(one)), 412, "DENIED", "not there")
    assert put(client, repository, one, "one", ONLY_NEW).status_code == 201


@pytest.mark.parametrize("by", ["tag", "digest"])
def test_a_delete_is_refused_where_it_is_not_what_was_expected(client: httpx.Client, repository: str, by: str) -> None:
    one = push_image(client, repository, "v1", "one")
    reference = "v1" if by == "tag" else one

    for condition in (if_match(ABSENT), ("if-match", f'W/"{one}"'), ONLY_NEW, ("if-none-match", f'"{one}"')):
        refused(delete(client, repository, reference, condition), 412, "DENIED", one)
    assert points_to(client, repository, "v1") == one
    assert delete(client, repository, reference, if_match(ABSENT, one)).status_code == 202
    assert points_to(client, repository, "v1") is None


def test_what_is_not_there_is_404_before_any_condition(client: httpx.Client, repository: str) -> None:
    refused(delete(client, repository, "v1", if_match("*")), 404, "NAME_UNKNOWN")
    one = push_image(client, repository, "v1", "one")
    assert delete(client, repository, "v1").status_code == 202
    for reference in ("v1", ABSENT):
        for condition in (if_match(one), if_match("*"), ONLY_NEW):
            refused(delete(client, repository, reference, condition), 404, "MANIFEST_UNKNOWN")


def test_what_is_refused_anyway_is_refused_for_that(client: httpx.Client, repository: str) -> None:
    """RFC 9110 §13.2.1: conditions are for what would succeed without them."""
    one = push_image(client, repository, "v1", "one")
    size = len(client.get(f"/v2/{repository}/manifests/v1").content)
    child = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": one, "size": size}
    kind = "application/vnd.oci.image.index.v1+json"
    content = httpx.Request("PUT", "http://x", json={"schemaVersion": 2, "manifests": [child]}).content
    assert push_manifest(client, repository, "all", content, kind).status_code == 201

    refused(delete(client, repository, one, if_match(ABSENT)), 409, "DENIED")


@pytest.mark.parametrize("value", ["sha256:abc", "", '"unfinished', "*, *", f'"{ABSENT}" "{ABSENT}"', '"a", b'])
@pytest.mark.parametrize("name", ["if-match", "if-none-match"])
def test_a_condition_that_is_not_understood_is_refused(
    client: httpx.Client, repository: str, name: str, value: str
) -> None:
    one = push_image(client, repository, "v1", "one")

    refused(put(client, repository, "v1", "two", (name, value)), 400, "UNSUPPORTED", "quotes")
    refused(delete(client, repository, "v1", (name, value)), 400, "UNSUPPORTED", "quotes")
    assert points_to(client, repository, "v1") == one


def test_a_condition_in_several_lines_is_one_list(server: Running, client: httpx.Client, repository: str) -> None:
    one = push_image(client, repository, "v1", "one")
    path = f"/v2/{repository}/manifests/v1"

    def lines(*digests: str) -> list[str]:
        return [f'If-None-Match: "{digest}"' for digest in digests]

    for listed in ((one, ABSENT), (ABSENT, one)):
        assert ask(server, "DELETE", path, *lines(*listed)).status == 412
    matching = [line.replace("None-", "") for line in lines(one, ABSENT)]
    assert ask(server, "DELETE", path, *matching).status == 202


def test_of_many_who_swap_at_once_one_wins_each_round_and_counts_add_up(server: Running) -> None:
    asyncio.run(counting([server.url], "swapping/counted"))
