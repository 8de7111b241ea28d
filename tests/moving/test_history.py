"""What was held in the end, by what happened."""

from typing import Any

from pierhead.models import Digest, RepositoryName, TagName
from pierhead.moving.history import History

APP, OTHER = RepositoryName("team/app"), RepositoryName("team/other")
A, B = (Digest(f"sha256:{letter * 64}") for letter in "ab")
TYPE = "application/vnd.oci.image.manifest.v1+json"


def pushed(digest: Digest, tag: str | None = None, repository: str = APP) -> dict[str, Any]:
    told = {"what": "pushed", "repository": repository, "digest": digest, "media_type": TYPE}
    return told | ({"tag": tag} if tag else {})


def deleted(digest: Digest, tag: str | None = None, repository: str = APP) -> dict[str, Any]:
    return {"what": "deleted", "repository": repository, "digest": digest} | ({"tag": tag} if tag else {})


def history(*happened: dict[str, Any]) -> History:
    made = History()
    for told in happened:
        made.take(told)
    return made


def test_a_tag_is_where_it_moved_last() -> None:
    made = history(pushed(A, "v1"), pushed(B, "v1"))

    assert made.tags == {(APP, TagName("v1")): B}
    assert list(made.manifests) == [(APP, A), (APP, B)]


def test_a_deleted_tag_leaves_its_manifest() -> None:
    made = history(pushed(A, "v1"), deleted(A, "v1"))

    assert made.tags == {}
    assert made.manifests == {(APP, A): TYPE}


def test_a_deleted_manifest_takes_its_tags_along() -> None:
    made = history(pushed(A, "v1"), pushed(B, "v2"), deleted(A), pushed(A, "v1", OTHER))

    assert made.tags == {(APP, TagName("v2")): B, (OTHER, TagName("v1")): A}
    assert made.manifests == {(APP, B): TYPE, (OTHER, A): TYPE}


def test_a_tag_does_not_fall_back_when_its_manifest_goes() -> None:
    made = history(pushed(A, "v1"), pushed(B, "v1"), deleted(B))

    assert made.tags == {}


def test_a_manifest_that_came_again_is_there() -> None:
    made = history(pushed(A, "v1"), deleted(A), pushed(A))

    assert made.tags == {}
    assert made.manifests == {(APP, A): TYPE}


def test_tags_are_told_by_manifest() -> None:
    made = history(pushed(A, "v1"), pushed(A, "v2"), pushed(B))

    assert made.tags_of() == {(APP, A): (TagName("v1"), TagName("v2"))}
