"""Which endpoint a path names, without a server."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pierhead.distribution.routes import ENDPOINTS, PATH_MAX, match
from pierhead.errors import EndpointUnknown, MethodNotAllowed, PierheadError, RepositoryNameInvalid

DIGEST = "sha256:" + "a" * 64
METHODS = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "", "PROPFIND"]

ROUTES = [
    ("GET", "/v2", "ping", "", ""),
    ("GET", "/v2/", "ping", "", ""),
    ("HEAD", "/v2/", "ping", "", ""),
    ("GET", "/v2/_catalog", "list_repositories", "", ""),
    ("GET", "/v2/a/tags/list", "list_tags", "a", "list"),
    ("GET", "/v2/a/b/c/manifests/latest", "get_manifest", "a/b/c", "latest"),
    ("HEAD", f"/v2/a/manifests/{DIGEST}", "get_manifest", "a", DIGEST),
    ("PUT", "/v2/a/manifests/latest", "put_manifest", "a", "latest"),
    ("DELETE", "/v2/a/manifests/latest", "delete_manifest", "a", "latest"),
    ("GET", f"/v2/a/blobs/{DIGEST}", "get_blob", "a", DIGEST),
    ("DELETE", f"/v2/a/blobs/{DIGEST}", "delete_blob", "a", DIGEST),
    ("POST", "/v2/a/blobs/uploads/", "start_upload", "a", ""),
    ("GET", "/v2/a/blobs/uploads/id", "upload_status", "a", "id"),
    ("PATCH", "/v2/a/blobs/uploads/id", "append_to_upload", "a", "id"),
    ("PUT", "/v2/a/blobs/uploads/id", "finish_upload", "a", "id"),
    ("DELETE", "/v2/a/blobs/uploads/id", "cancel_upload", "a", "id"),
    ("GET", f"/v2/a/referrers/{DIGEST}", "list_referrers", "a", DIGEST),
    # Names that hold what else stands between names and targets.
    ("GET", "/v2/blobs/manifests/latest", "get_manifest", "blobs", "latest"),
    ("GET", "/v2/manifests/manifests/manifests", "get_manifest", "manifests", "manifests"),
    ("GET", "/v2/a/blobs/uploads/manifests/latest", "get_manifest", "a/blobs/uploads", "latest"),
    ("POST", "/v2/a/blobs/uploads/blobs/uploads/", "start_upload", "a/blobs/uploads", ""),
    ("PUT", "/v2/uploads/blobs/uploads/id", "finish_upload", "uploads", "id"),
    ("GET", "/v2/tags/list/tags/list", "list_tags", "tags/list", "list"),
    ("GET", "/v2/tags/tags/list", "list_tags", "tags", "list"),
    ("GET", "/v2/referrers/referrers/x", "list_referrers", "referrers", "x"),
    ("PUT", "/v2/a/tags/list/manifests/list", "put_manifest", "a/tags/list", "list"),
]
NOWHERE = [
    "", "/", "/v1/", "/v2x", "/v2x/a/manifests/b", "/v2a/manifests/b", "//v2/", "/v2//", "/v2/a", "/v2/a/", "/v2/a/b",
    "/v2/_catalog/", "/v2/_catalog/x", "/v2/manifests/latest", "/v2/a/manifests/", "/v2/a/blobs/", "/v2/a/tags/",
    "/v2/a/tags/lists", "/v2/a/tags/list/", "/v2/a/uploads/", "/v2/a/uploads/id", "/v2/blobs/uploads/",
    "/v2/a/referrers/", "/v2/_oci/ext/discover", "/V2/a/manifests/b", "/v2/a/ping/x", "/v2/a/catalog/x",
    "/v2/a/new upload/x", "*", "/healthz",
]  # fmt: skip
NO_NAMES = [
    "/v2/a%2fb/manifests/x", "/v2/a/manifests/%41", "/v2/%", "/v2/../manifests/x", "/v2/a/../manifests/x",
    "/v2/a//b/manifests/x", "/v2//a/manifests/x", "/v2/a//manifests/x", "/v2/A/manifests/x", "/v2/./manifests/x",
    "/v2/" + "a" * 256 + "/manifests/x", "/v2/a b/manifests/x", "/v2/a\n/manifests/x", "/v2/a\\b/manifests/x",
    "/v2/é/manifests/x", "/v2/" + "a/" * 3000 + "manifests/x", "/v2/a;b/tags/list", "/v2/_catalog/manifests/x",
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "operation", "repository", "target"), ROUTES)
def test_a_path_names_an_operation(method: str, path: str, operation: str, repository: str, target: str) -> None:
    found = match(method, path.encode())

    assert (found.operation, found.repository, found.target) == (operation, repository, target)


@pytest.mark.parametrize("path", NOWHERE)
def test_there_is_nothing_at_another_path(path: str) -> None:
    with pytest.raises(EndpointUnknown):
        match("GET", path.encode())


@pytest.mark.parametrize("path", NO_NAMES)
def test_a_path_with_a_malformed_name_is_refused(path: str) -> None:
    with pytest.raises(RepositoryNameInvalid):
        match("GET", path.encode())


@pytest.mark.parametrize("path", [path for _, path, *_ in ROUTES])
@pytest.mark.parametrize("method", METHODS)
def test_another_method_is_told_which_ones_are_allowed(method: str, path: str) -> None:
    allowed = _allowed(method, path)

    assert allowed
    assert (method in allowed) is (allowed == [method])
    assert all(_allowed(other, path) == [other] for other in allowed)


def _allowed(method: str, path: str) -> list[str]:
    """The method itself where it is allowed, else those that are."""
    try:
        match(method, path.encode())
    except MethodNotAllowed as error:
        return error.allowed
    return [method]


def test_every_operation_is_reached() -> None:
    reached = {match(method, path.encode()).operation for method, path, *_ in ROUTES}

    assert reached == {operation for operation, _ in ENDPOINTS.values()}


# The same table as one expression for each kind, as other registries have it.
NAME = r"(?P<name>[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*)"
REFERENCE = [
    (re.compile(r"/v2/?"), {"GET", "HEAD"}),
    (re.compile(r"/v2/_catalog"), {"GET"}),
    (re.compile(rf"/v2/{NAME}/blobs/uploads/"), {"POST"}),
    (re.compile(rf"/v2/{NAME}/blobs/uploads/(?P<target>[^/]+)"), {"GET", "PATCH", "PUT", "DELETE"}),
    (re.compile(rf"/v2/{NAME}/blobs/(?P<target>[^/]+)"), {"GET", "HEAD", "DELETE"}),
    (re.compile(rf"/v2/{NAME}/manifests/(?P<target>[^/]+)"), {"GET", "HEAD", "PUT", "DELETE"}),
    (re.compile(rf"/v2/{NAME}/tags/(?P<target>list)"), {"GET"}),
    (re.compile(rf"/v2/{NAME}/referrers/(?P<target>[^/]+)"), {"GET"}),
]
WORDS = [
    "a",
    "b.c",
    "blobs",
    "manifests",
    "uploads",
    "tags",
    "list",
    "referrers",
    "_catalog",
    "..",
    "",
    "A",
    DIGEST,
    "x%2f",
]
near_paths = st.lists(st.sampled_from(WORDS), max_size=7).map(lambda words: "/v2/" + "/".join(words))


def expected(method: str, path: str) -> tuple[str, str] | None:
    """Repository and target; None where the path is refused."""
    if "%" in path or len(path) > PATH_MAX or not path.isascii():
        return None
    for pattern, methods in REFERENCE:
        found = pattern.fullmatch(path)
        if found and method in methods:
            groups = found.groupdict()
            return groups.get("name") or "", groups.get("target") or ""
    return None


@given(st.sampled_from(METHODS), near_paths | st.text().map(lambda text: "/v2/" + text) | st.text())
def test_the_router_agrees_with_regular_expressions(method: str, path: str) -> None:
    raw = path.encode("utf-8", "surrogatepass")
    try:
        found = match(method, raw)
    except PierheadError:
        assert expected(method, path) is None
        return
    assert expected(method, path) == (found.repository, found.target)


@given(st.text(), st.binary())
def test_anything_is_routed_or_refused(method: str, raw_path: bytes) -> None:
    with pytest.raises(PierheadError):
        raise _refusal(method, raw_path)


def _refusal(method: str, raw_path: bytes) -> Exception:
    try:
        match(method, raw_path)
    except Exception as error:  # noqa: BLE001  which one is what is tested
        return error
    return PierheadError("routed")
