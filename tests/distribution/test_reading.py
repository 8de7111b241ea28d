"""Reading from a real server: ranges, conditions, HEAD, methods, and paths where nothing is."""

import httpx
import pytest

from tests.distribution.wire import Socket, ask, push_blob, push_image, refused, sha256
from tests.running import Running

REPOSITORY = "reading/app"
CONTENT = bytes(range(256)) * 40
LARGE = bytes(range(251)) * 20_000  # too large to be kept in memory
DIGEST = sha256(CONTENT)
BLOB = f"/v2/{REPOSITORY}/blobs/{DIGEST}"
OTHER_ETAG = '"sha256:' + "b" * 64 + '"'


@pytest.fixture(autouse=True)
def _pushed(client: httpx.Client) -> None:
    if client.head(BLOB).status_code != 200:
        push_blob(client, REPOSITORY, CONTENT)
        push_blob(client, REPOSITORY, LARGE)
        push_blob(client, REPOSITORY, b"")


@pytest.mark.parametrize("content", [CONTENT, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=500-1499", 500, 1499),
        ("bytes=500-", 500, None),
        ("bytes=-500", -500, None),
        ("bytes=2000-99999999", 2000, None),
        ("bytes=0-" + "9" * 100, 0, None),
        ("bytes=-" + "9" * 100, 0, None),
        ("BYTES=5-6", 5, 6),
    ],
)
def test_a_range_is_served(client: httpx.Client, content: bytes, asked: str, first: int, last: int | None) -> None:
    start = first if first >= 0 else len(content) + first
    end = len(content) - 1 if last is None else last

    response = client.get(f"/v2/{REPOSITORY}/blobs/{sha256(content)}", headers={"range": asked})

    assert response.status_code == 206
    assert response.content == content[start : end + 1]
    assert response.headers["content-range"] == f"bytes {start}-{end}/{len(content)}"
    assert response.headers["docker-content-digest"] == sha256(content)


SILLY = [
    "bytes=500-0", "bytes=10240-", "bytes=99999-100000", "bytes=-0", "bytes=-", "bytes=", "bytes", "bytes=a-b",
    "bytes=1-b", "bytes=--1", "bytes=0--1", "bytes=1-2-3", "bytes=" + "9" * 5000 + "-", "bytes=0x0-0x5", "bytes=1.5-2",
    "bytes=\xb2-", "bytes:0-1",
]  # fmt: skip


@pytest.mark.parametrize("asked", SILLY)
def test_a_silly_range_is_refused_with_the_size(server: Running, asked: str) -> None:
    answer = ask(server, "GET", BLOB, f"Range: {asked}")

    refused(answer, 416, "SIZE_INVALID", f"{len(CONTENT)} bytes")
    assert answer.headers["content-range"] == f"bytes */{len(CONTENT)}"


@pytest.mark.parametrize("asked", ["bytes=0-", "bytes=-1", "bytes=0-0"])
def test_an_empty_blob_has_no_range(client: httpx.Client, asked: str) -> None:
    response = client.get(f"/v2/{REPOSITORY}/blobs/{sha256(b'')}", headers={"range": asked})

    assert response.status_code == 416
    assert response.headers["content-range"] == "bytes */0"


@pytest.mark.parametrize(
    "asked", ["items=0-1", "bytes=0-1,5-6", "bytes=0-,0-,0-", "", "0-1", ",".join(["bytes=0-0"] * 5000)]
)
def test_a_range_that_is_not_served_gives_the_whole(server: Running, asked: str) -> None:
    answer = ask(server, "GET", BLOB, f"Range: {asked}")

    assert (answer.status, answer.body) == (200, CONTENT)


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        (f'"{DIGEST}"', 206),
        (OTHER_ETAG, 200),
        (f'W/"{DIGEST}"', 200),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 200),
        ("x", 200),
        ("", 200),
    ],
)
def test_if_range_asks_for_the_range_of_this_very_blob_only(client: httpx.Client, condition: str, status: int) -> None:
    response = client.get(BLOB, headers={"range": "bytes=0-9", "if-range": condition})

    assert response.status_code == status
    assert response.content == (CONTENT[:10] if status == 206 else CONTENT)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("kind", ["blob", "manifest", "tag"])
@pytest.mark.parametrize("form", ["{}", "W/{}", "{}, " + OTHER_ETAG, "*"])
def test_what_the_client_has_already_is_not_sent_again(client: httpx.Client, method: str, kind: str, form: str) -> None:
    digest = push_image(client, REPOSITORY, "latest")
    path = {
        "blob": BLOB,
        "manifest": f"/v2/{REPOSITORY}/manifests/{digest}",
        "tag": f"/v2/{REPOSITORY}/manifests/latest",
    }[kind]
    etag = client.head(path).headers["etag"]

    response = client.request(method, path, headers={"if-none-match": form.format(etag)})

    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == etag == f'"{DIGEST if kind == "blob" else digest}"'
    assert response.headers["docker-content-digest"] == etag.strip('"')


@pytest.mark.parametrize("header", [OTHER_ETAG, "", "x", "," * 5000, DIGEST])
def test_what_the_client_has_not_is_sent(client: httpx.Client, header: str) -> None:
    assert client.get(BLOB, headers={"if-none-match": header}).content == CONTENT


def test_a_head_has_the_headers_of_a_get_and_no_body(server: Running, client: httpx.Client) -> None:
    push_image(client, REPOSITORY, "latest")
    for path in (
        BLOB,
        f"/v2/{REPOSITORY}/manifests/latest",
        "/v2/",
        f"/v2/{REPOSITORY}/manifests/none",
        f"/v2/none/blobs/{DIGEST}",
    ):
        with Socket(server) as connection:
            got = connection.request("GET", path).answer()
            told = connection.request("HEAD", path).answer(head=True)
            assert connection.silent()

        got.headers.pop("date"), told.headers.pop("date")
        assert (told.status, told.headers) == (got.status, got.headers)


def test_a_head_with_a_range_tells_of_the_whole(client: httpx.Client) -> None:
    response = client.head(BLOB, headers={"range": "bytes=0-0"})

    assert (response.status_code, response.headers["content-length"]) == (200, str(len(CONTENT)))


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v2/", {"GET", "HEAD"}),
        ("/v2/_catalog", {"GET"}),
        (f"/v2/{REPOSITORY}/tags/list", {"GET"}),
        (f"/v2/{REPOSITORY}/manifests/latest", {"GET", "HEAD", "PUT", "DELETE"}),
        (BLOB, {"GET", "HEAD", "DELETE"}),
        (f"/v2/{REPOSITORY}/blobs/uploads/", {"POST"}),
        (f"/v2/{REPOSITORY}/blobs/uploads/x", {"GET", "PATCH", "PUT", "DELETE"}),
        (f"/v2/{REPOSITORY}/referrers/{DIGEST}", {"GET"}),
    ],
)
def test_a_method_that_is_not_allowed_is_told_which_ones_are(server: Running, path: str, allowed: set[str]) -> None:
    for method in {"GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} - allowed:
        answer = ask(server, method, path)

        refused(answer, 405, "UNSUPPORTED", method)
        assert set(answer.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize("method", ["get", "BREW", "X" * 1000])
def test_a_method_that_is_none_is_refused(server: Running, method: str) -> None:
    answer = ask(server, method, "/v2/")

    refused(answer, 400, "UNSUPPORTED", "method")


@pytest.mark.parametrize(
    "path",
    [
        "/v2/a",
        "/v2/a/b",
        "/v2/_catalog/",
        "/v2/a/tags/",
        "/v2/a/catalog/x",
        "/v2/a/ping/x",
        "/v2x/a/manifests/b",
        "/v2/_oci/ext/discover",
        "/v2//",
    ],
)
def test_there_is_nothing_at_an_unknown_path(server: Running, path: str) -> None:
    refused(ask(server, "GET", path), 404, "UNSUPPORTED", "nothing at this path")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/",
        "/admin",
        "/v",
        "/healthz/x",
        "/../etc/passwd",
        "/%2e%2e/etc/passwd",
        "/a%FF",
    ],
)
def test_there_is_nothing_beside_the_registry(server: Running, path: str) -> None:
    answer = ask(server, "GET", path)

    assert answer.status == 404
    assert answer.headers["content-type"] == "application/json"


def test_what_is_not_there_is_told_with_the_right_code(client: httpx.Client) -> None:
    push_image(client, REPOSITORY, "latest")

    refused(client.get("/v2/reading/none/manifests/latest"), 404, "NAME_UNKNOWN")
    refused(client.get("/v2/reading/none/tags/list"), 404, "NAME_UNKNOWN")
    refused(client.get(f"/v2/{REPOSITORY}/manifests/none"), 404, "MANIFEST_UNKNOWN")
    refused(client.get(f"/v2/{REPOSITORY}/manifests/{DIGEST}"), 404, "MANIFEST_UNKNOWN")
    refused(client.get(f"/v2/{REPOSITORY}/blobs/{sha256(b'none')}"), 404, "BLOB_UNKNOWN")
    refused(client.delete(f"/v2/{REPOSITORY}/blobs/{sha256(b'none')}"), 404, "BLOB_UNKNOWN")
    refused(client.delete(f"/v2/{REPOSITORY}/manifests/none"), 404, "MANIFEST_UNKNOWN")
    refused(client.delete("/v2/reading/none/manifests/none"), 404, "NAME_UNKNOWN")


@pytest.mark.parametrize(
    "path", ["/v2/", "/v2/_catalog", BLOB, f"/v2/{REPOSITORY}/manifests/latest", f"/v2/{REPOSITORY}/tags/list"]
)
def test_a_namespace_is_accepted(client: httpx.Client, path: str) -> None:
    push_image(client, REPOSITORY, "latest")

    assert client.get(path, params={"ns": "docker.io"}).status_code == 200


def test_a_path_with_a_host_is_that_path(server: Running) -> None:
    assert ask(server, "GET", "http://127.0.0.1/v2/").status == 200
