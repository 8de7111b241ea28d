"""Bad names, digests, tags, manifests and queries against a real server.

Each is refused with a clear 4xx, nothing is stored, and the server goes on. Bad framing is in
`test_framing`, bad sessions in `test_uploads`.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pierhead.registry.documents import DOCKER_IMAGE, OCI_IMAGE, OCI_INDEX
from tests import profiles
from tests.distribution.wire import (
    LAYER_TYPE,
    Ledger,
    Socket,
    ask,
    descriptor,
    image,
    nothing_stored,
    push_blob,
    push_image,
    push_manifest,
    refused,
    sha256,
    sha512,
    start,
)
from tests.running import Running
from tests.test_errors import CODES

MIB = 1 << 20
CONTENT = b"some bytes"
DIGEST, OTHER = sha256(CONTENT), sha256(b"other bytes")
BAD_NAMES = {
    "two dots": "..",
    "two dots at the start": "../a",
    "two dots between": "a/../b",
    "a dot": "a/./b",
    "two slashes": "a//b",
    "a slash at the start": "/a",
    "an encoded slash": "a%2fb",
    "an encoded slash in capitals": "a%2Fb",
    "encoded dots": "%2e%2e/a",
    "an encoded letter": "%61",
    "256 characters": "a" * 256,
    "256 characters in segments": "/".join(["abc"] * 64) + "a",
    "100 KB": "a/" * 30_000 + "a",
    "capitals": "Library/app",
    "letters beyond ASCII": "caf%C3%A9",
    "an encoded NUL": "a%00",
    "a separator at its end": "a-",
    "a separator at its start": "_a",
    "two separators": "a..b",
    "a backslash": "a\\b",
    "a colon": "a:b",
    "a tilde": "~a",
}
NAMES_OF_ENDPOINTS = [
    "blobs", "manifests", "uploads", "tags", "referrers", "list", "blobs/uploads", "a/blobs/uploads", "manifests/blobs",
    "tags/list", "a/tags/list", "a/manifests/latest", "uploads/blobs/uploads", "v2", "v2/a",
    "referrers/tags",
]  # fmt: skip
BAD_DIGESTS = {
    "no digest": "sha256:",
    "too short": DIGEST[:-1],
    "too long": DIGEST + "0",
    "capitals": "sha256:" + DIGEST[7:].upper(),
    "capitals in the algorithm": DIGEST.replace("sha256", "SHA256"),
    "no hexadecimal": "sha256:baddigeststring",
    "an algorithm that is broken": "md5:d41d8cd98f00b204e9800998ecf8427e",
    "an algorithm that nobody knows": "sha999:" + "a" * 64,
    "an algorithm that is not registered": "sha384:" + "a" * 96,
    "the length of another algorithm": "sha512:" + "a" * 64,
    "two colons": "sha256:" + DIGEST,
    "dots": "sha256:" + "../" * 21 + "a",
}


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_malformed_name_is_refused_for_manifests(server: Running, name: str, method: str) -> None:
    body = image() if method == "PUT" else b""

    with nothing_stored(server):
        answer = ask(server, method, f"/v2/{BAD_NAMES[name]}/manifests/latest", f"Content-Type: {OCI_IMAGE}", body=body)

    refused(answer, 400, "NAME_INVALID")


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_malformed_name_is_refused_for_uploads(server: Running, name: str) -> None:
    with nothing_stored(server):
        answer = ask(server, "POST", f"/v2/{BAD_NAMES[name]}/blobs/uploads/?digest={DIGEST}", body=CONTENT)

    refused(answer, 400, "NAME_INVALID")


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("target", ["tags/list", f"blobs/{DIGEST}", f"referrers/{DIGEST}", "blobs/uploads/x"])
def test_a_malformed_name_is_refused_for_reading(server: Running, name: str, target: str) -> None:
    refused(ask(server, "GET", f"/v2/{BAD_NAMES[name]}/{target}"), 400, "NAME_INVALID")


@pytest.mark.parametrize("name", [*NAMES_OF_ENDPOINTS, "/".join(["a"] * 128), "a" * 255, "a__b/c---d.e"])
def test_a_name_may_hold_the_words_of_the_protocol(server: Running, client: httpx.Client, name: str) -> None:
    layer = b"layer of " + name.encode()
    push_blob(client, name, layer)
    config = client.put(start(client, name), params={"digest": sha256(b"{}")}, content=b"{}")
    content = image(layers=[layer])

    pushed = push_manifest(client, name, "list", content)

    assert (config.status_code, pushed.status_code) == (201, 201)
    assert client.get(f"/v2/{name}/manifests/list").content == content
    assert client.get(pushed.headers["location"]).content == content
    assert client.get(f"/v2/{name}/blobs/{sha256(layer)}").content == layer
    assert client.get(f"/v2/{name}/tags/list").json() == {"name": name, "tags": ["list"]}
    assert name in _catalog(client)


def _catalog(client: httpx.Client) -> list[str]:
    names: list[str] = client.get("/v2/_catalog").json()["repositories"]
    return names


@pytest.mark.parametrize("name", BAD_DIGESTS)
def test_a_malformed_digest_is_refused_when_a_blob_is_pushed_at_once(server: Running, name: str) -> None:
    with nothing_stored(server):
        answer = ask(server, "POST", f"/v2/bad/digest/blobs/uploads/?digest={BAD_DIGESTS[name]}", body=CONTENT)

    refused(answer, 400, "DIGEST_INVALID", "sha256:<64 lower-case hex digits>")


@pytest.mark.parametrize("name", BAD_DIGESTS)
def test_a_malformed_digest_is_refused_when_an_upload_ends(server: Running, client: httpx.Client, name: str) -> None:
    location = start(client, "bad/digest")

    with nothing_stored(server):
        answer = ask(server, "PUT", f"{location}?digest={BAD_DIGESTS[name]}", body=CONTENT)

    refused(answer, 400, "DIGEST_INVALID")
    assert client.delete(location).status_code == 204


@pytest.mark.parametrize("name", BAD_DIGESTS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PUT"])
@pytest.mark.parametrize("kind", ["manifests", "blobs"])
def test_a_malformed_digest_names_nothing(server: Running, name: str, method: str, kind: str) -> None:
    if (kind, method) == ("blobs", "PUT") or "/" in BAD_DIGESTS[name]:
        return
    with nothing_stored(server):
        answer = ask(
            server, method, f"/v2/bad/digest/{kind}/{BAD_DIGESTS[name]}", body=image() if method == "PUT" else b""
        )

    assert answer.status == 400
    assert method == "HEAD" or answer.errors[0]["code"] == "DIGEST_INVALID"


@pytest.mark.parametrize("query", ["", "?digest=", "?digest", "?Digest=" + DIGEST])
def test_an_upload_cannot_end_without_a_digest(server: Running, client: httpx.Client, query: str) -> None:
    location = start(client, "bad/digest")

    with nothing_stored(server):
        answer = ask(server, "PUT", location + query, body=CONTENT)

    refused(answer, 400, "DIGEST_INVALID")


@pytest.mark.parametrize("algorithm", ["md5", "sha384", "SHA256", "", "sha256,sha512", "a" * 1000])
def test_an_unknown_digest_algorithm_is_refused(server: Running, algorithm: str) -> None:
    if not algorithm:
        return
    with nothing_stored(server):
        answer = ask(server, "POST", f"/v2/bad/digest/blobs/uploads/?digest-algorithm={algorithm}")

    refused(answer, 400, "DIGEST_INVALID", "sha256, sha512")


def _at_once(client: httpx.Client, digest: str) -> httpx.Response:
    return client.post("/v2/bad/wrong/blobs/uploads/", params={"digest": digest}, content=CONTENT)


def _post_put(client: httpx.Client, digest: str) -> httpx.Response:
    return client.put(start(client, "bad/wrong"), params={"digest": digest}, content=CONTENT)


def _stream(client: httpx.Client, digest: str) -> httpx.Response:
    location = start(client, "bad/wrong")
    assert client.patch(location, content=iter([CONTENT[:4], CONTENT[4:]])).status_code == 202
    return client.put(location, params={"digest": digest})


def _chunked(client: httpx.Client, digest: str) -> httpx.Response:
    location = start(client, "bad/wrong")
    assert client.patch(location, content=CONTENT[:4], headers={"content-range": "0-3"}).status_code == 202
    return client.put(location, params={"digest": digest}, content=CONTENT[4:], headers={"content-range": "4-9"})


def _announced(client: httpx.Client, digest: str) -> httpx.Response:
    algorithm = digest.partition(":")[0]
    location = client.post("/v2/bad/wrong/blobs/uploads/", params={"digest-algorithm": algorithm}).headers["location"]
    return client.put(location, params={"digest": digest}, content=CONTENT)


def _large(client: httpx.Client, digest: str) -> httpx.Response:
    return client.put(start(client, "bad/wrong"), params={"digest": digest}, content=bytes(3 * MIB))


@pytest.mark.parametrize("hashed", [sha256, sha512])
@pytest.mark.parametrize("push", [_at_once, _post_put, _stream, _chunked, _announced, _large])
def test_a_wrong_digest_is_refused_at_each_way_of_finishing(
    server: Running,
    client: httpx.Client,
    push: Callable[[httpx.Client, str], httpx.Response],
    hashed: Callable[[bytes], str],
) -> None:
    with nothing_stored(server):
        response = push(client, hashed(b"other bytes"))

        refused(response, 400, "DIGEST_INVALID", hashed(b"other bytes"))

    for content in (CONTENT, b"other bytes"):
        assert client.head(f"/v2/bad/wrong/blobs/{hashed(content)}").status_code == 404


@pytest.mark.parametrize("hashed", [sha256, sha512])
def test_a_manifest_pushed_by_a_wrong_digest_is_refused(
    server: Running, client: httpx.Client, hashed: Callable[[bytes], str]
) -> None:
    push_blob(client, "bad/wrong", b"{}")

    with nothing_stored(server):
        response = push_manifest(client, "bad/wrong", hashed(b"other bytes"), image())

    refused(response, 400, "DIGEST_INVALID", hashed(image()))


@pytest.mark.parametrize("hashed", [sha256, sha512])
@pytest.mark.parametrize("push", [_at_once, _post_put, _stream, _chunked, _announced])
def test_the_right_digest_is_taken_at_each_way_of_finishing(
    client: httpx.Client, push: Callable[[httpx.Client, str], httpx.Response], hashed: Callable[[bytes], str]
) -> None:
    response = push(client, hashed(CONTENT))

    assert response.status_code == 201
    assert response.headers["docker-content-digest"] == hashed(CONTENT)
    assert client.get(response.headers["location"]).content == CONTENT
    assert client.delete(response.headers["location"]).status_code == 202


BAD_TAGS = {
    "129 characters": "a" * 129,
    "a dot at its start": ".a",
    "a dash at its start": "-a",
    "letters beyond ASCII": "caf%C3%A9",
    "a plus": "1.0+1",
    "two dots": "..",
    "a tilde": "~",
}


@pytest.mark.parametrize("name", BAD_TAGS)
def test_a_malformed_tag_cannot_be_pushed(server: Running, client: httpx.Client, name: str) -> None:
    push_blob(client, "bad/tag", b"{}")

    with nothing_stored(server):
        answer = ask(
            server, "PUT", f"/v2/bad/tag/manifests/{BAD_TAGS[name]}", f"Content-Type: {OCI_IMAGE}", body=image()
        )

    assert answer.status == 400
    assert answer.errors[0]["code"] in {"MANIFEST_INVALID", "NAME_INVALID"}


@pytest.mark.parametrize("name", BAD_TAGS)
def test_a_malformed_tag_is_found_nowhere(server: Running, name: str) -> None:
    answer = ask(server, "GET", f"/v2/bad/tag/manifests/{BAD_TAGS[name]}")

    assert answer.status in {400, 404}
    assert answer.errors[0]["code"] in {"MANIFEST_UNKNOWN", "NAME_INVALID"}


def test_a_tag_of_128_characters_works(client: httpx.Client) -> None:
    digest = push_image(client, "good/tag", "T" * 128)

    assert client.head(f"/v2/good/tag/manifests/{'T' * 128}").headers["docker-content-digest"] == digest


DEEP = 100_000
BAD_MANIFESTS: dict[str, bytes] = {
    "no body": b"",
    "a list": b"[]",
    "a text": b'"image"',
    "null": b"null",
    "no JSON": b"\x1f\x8b\x08\x00 no JSON",
    "lists nested 100,000 deep": b'{"a":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "objects nested 100,000 deep": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "lists nested and never closed": b"[" * (3 * MIB),
    "a key twice": b'{"schemaVersion":2,"schemaVersion":2,"manifests":[]}',
    "the layers twice": image()[:-1] + b',"layers":[]}',
    "a million keys and one twice": b"{" + b",".join(b'"%x":0' % key for key in (*range(300_000), 299_999)) + b"}",
    "invalid UTF-8": image(annotations={"a": "b"}).replace(b'"b"', b'"\xff\xfe"'),
    "a half surrogate": image(annotations={"a": "\ud800"}),
    "a half surrogate as artifact type": image(artifactType="a/\udfff"),
    "a number of 5,000 digits": image().replace(b'"schemaVersion": 2', b'"schemaVersion": ' + b"2" * 5000),
    "a size of 4,000 digits": image().replace(b'"size": 2', b'"size": ' + b"9" * 4000),
    "a size past 63 bits": image().replace(b'"size": 2', b'"size": 9223372036854775808'),
    "a negative size": image().replace(b'"size": 2', b'"size": -2'),
    "a size with an exponent": image().replace(b'"size": 2', b'"size": 2e0'),
    "a size that is a text": image().replace(b'"size": 2', b'"size": "2"'),
    "10,000 layers": image(layers=[b"%d" % number for number in range(10_000)]),
    "a malformed layer digest": image(layers=[b"a"]).replace(sha256(b"a").encode(), b"sha256:../../etc/passwd"),
    "an upper-case layer digest": image(layers=[b"a"]).replace(sha256(b"a").encode(), b"sha256:" + b"A" * 64),
    "no config": json.dumps({"schemaVersion": 2, "mediaType": OCI_IMAGE, "layers": []}).encode(),
    "schema 1": json.dumps({"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": [], "history": []}).encode(),
    "another media type inside": image(mediaType=DOCKER_IMAGE),
}


@pytest.mark.parametrize("name", BAD_MANIFESTS)
def test_a_manifest_that_is_none_is_refused(server: Running, client: httpx.Client, name: str) -> None:
    push_blob(client, "bad/manifest", b"{}")

    with nothing_stored(server):
        response = push_manifest(client, "bad/manifest", "latest", BAD_MANIFESTS[name])

    refused(response, 400, "MANIFEST_INVALID")
    assert client.get("/v2/bad/manifest/manifests/latest").status_code == 404


@pytest.mark.parametrize(
    "content_type",
    [
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    ],
)  # fmt: skip
def test_schema_1_is_refused_with_a_word_that_says_so(server: Running, client: httpx.Client, content_type: str) -> None:
    with nothing_stored(server):
        response = push_manifest(client, "bad/manifest", "latest", BAD_MANIFESTS["schema 1"], content_type)

    refused(response, 400, "MANIFEST_INVALID", "schema 1 is not supported")


@pytest.mark.parametrize("content_type", ["hello", "a/b c", "a/\xe9", "a/" + "b" * 300, "/", "a/b\x7f"])
def test_a_content_type_that_is_none_is_refused(server: Running, client: httpx.Client, content_type: str) -> None:
    push_blob(client, "bad/manifest", b"{}")
    body = json.dumps({"a": 1}).encode()

    with nothing_stored(server):
        answer = ask(server, "PUT", "/v2/bad/manifest/manifests/latest", f"Content-Type: {content_type}", body=body)

    assert answer.status == 400


def test_a_manifest_that_names_itself_is_refused(server: Running, client: httpx.Client) -> None:
    itself = sha256(b"itself")
    content = json.dumps(
        {"schemaVersion": 2, "manifests": [{"mediaType": OCI_INDEX, "digest": itself, "size": 10}]}
    ).encode()

    with nothing_stored(server):
        by_digest = push_manifest(client, "bad/manifest", itself, content, OCI_INDEX)
        by_tag = push_manifest(client, "bad/manifest", "latest", content, OCI_INDEX)

    refused(by_digest, 400, "DIGEST_INVALID")
    refused(by_tag, 404, "MANIFEST_BLOB_UNKNOWN", itself)


def test_a_manifest_whose_parts_are_elsewhere_is_refused_and_they_are_named(
    server: Running, client: httpx.Client
) -> None:
    push_blob(client, "bad/elsewhere", b"{}")

    with nothing_stored(server):
        response = push_manifest(client, "bad/manifest-without-parts", "latest", image())

    refused(response, 404, "MANIFEST_BLOB_UNKNOWN", sha256(b"{}"))


def test_a_manifest_may_name_the_same_layer_many_times(client: httpx.Client) -> None:
    push_blob(client, "good/twice", b"{}")
    push_blob(client, "good/twice", b"layer")
    content = image(layers=[b"layer"] * 50 + [b"{}"])

    response = push_manifest(client, "good/twice", "latest", content)

    assert response.status_code == 201
    assert client.get("/v2/good/twice/manifests/latest").content == content
    assert client.delete(response.headers["location"]).status_code == 202
    assert client.delete(f"/v2/good/twice/blobs/{sha256(b'layer')}").status_code == 202


def test_a_manifest_of_4000_layers_works(client: httpx.Client) -> None:
    push_blob(client, "good/long", b"{}")
    entries = [{"mediaType": LAYER_TYPE, "digest": sha256(b"{}"), "size": number} for number in range(4000)]
    content = json.dumps({**json.loads(image()), "layers": entries}).encode()

    assert push_manifest(client, "good/long", "latest", content).status_code == 201


BAD_QUERIES = {
    "n below zero": "n=-1",
    "n with a point": "n=1.5",
    "n that is empty": "n=",
    "n in words": "n=ten",
    "n in other digits": "n=%D9%A3",
    "n with a NUL": "n=1%00",
    "n twice": "n=1&n=2",
    "last twice": "last=a&last=b",
    "last with a NUL": "last=a%00b",
    "bytes that are no UTF-8": "last=%ff%fe",
    "an encoded surrogate": "last=%ed%a0%80",
    "a thousand parameters": "&".join(f"a{number}=1" for number in range(1000)),
}


@pytest.mark.parametrize("name", BAD_QUERIES)
@pytest.mark.parametrize("path", ["/v2/_catalog", "/v2/good/tag/tags/list"])
def test_a_malformed_query_is_refused(server: Running, client: httpx.Client, path: str, name: str) -> None:
    push_image(client, "good/tag", "a")

    with nothing_stored(server):
        answer = ask(server, "GET", f"{path}?{BAD_QUERIES[name]}")

    refused(answer, 400, "UNSUPPORTED")


ODD_QUERIES = [
    "n=00001", "n=" + "9" * 10_000, "last=%20", "last=%F0%9F%98%80", "last=" + "a" * 50_000,
    "last=%27%3B--", "last=%25", "last=..%2F", "last=%EF%BF%BF", "last=~", "last=%", "last=%zz", "&&&", "=", "=&=",
    "ns=docker.io",
    "ns=a&ns=b", "n=1;last=a", "x=1&x=2", "last=+",
]  # fmt: skip


@pytest.mark.parametrize("query", ODD_QUERIES)
@pytest.mark.parametrize("path", ["/v2/_catalog", "/v2/good/tag/tags/list", f"/v2/good/tag/referrers/{DIGEST}"])
def test_an_odd_query_is_answered(server: Running, client: httpx.Client, path: str, query: str) -> None:
    push_image(client, "good/tag", "a")

    answer = ask(server, "GET", f"{path}?{query}")

    assert answer.status in {200, 400}
    assert answer.status == 200 or answer.errors[0]["code"] in CODES


def test_a_query_of_100_kb_is_refused(server: Running) -> None:
    with nothing_stored(server):
        # Longer than 64 KiB, it never reaches the registry: the server answers without JSON.
        assert ask(server, "GET", "/v2/_catalog?last=" + "a" * 100_000).status in {400, 414, 431}


@pytest.mark.parametrize("name", ["digest", "mount", "from", "digest-algorithm"])
def test_a_repeated_query_key_of_an_upload_is_refused(server: Running, name: str) -> None:
    values = {"digest": DIGEST, "mount": DIGEST, "from": "a", "digest-algorithm": "sha256"}
    query = (
        f"mount={DIGEST}&{name}={values[name]}&{name}={values[name]}"
        if name == "from"
        else f"{name}={values[name]}&{name}={values[name]}"
    )

    with nothing_stored(server):
        answer = ask(server, "POST", f"/v2/bad/query/blobs/uploads/?{query}", body=CONTENT)

    refused(answer, 400, "UNSUPPORTED", name)


# A little of everything, at random


@pytest.fixture(scope="module")
def fuzzed(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


WORDS = ["v2", "a", "blobs", "manifests", "uploads", "tags", "list", "referrers", "_catalog"]
paths = st.lists(
    st.sampled_from([*WORDS, "..", "", "A", DIGEST, "%2f", "%00", "x" * 300]),
    max_size=7,
).map(lambda words: "/v2/" + "/".join(words))  # fmt: skip
header_values = st.sampled_from(
    ["bytes=0-", "0-9", "bytes 5-3", "*", '"x"', "application/json", "chunked", "-1", "\xff", "a" * 5000, ""]
)
header_names = st.sampled_from(
    [
        "Range",
        "If-Range",
        "If-None-Match",
        "Content-Range",
        "Content-Type",
        "Accept",
        "Authorization",
        "Origin",
        "X-Forwarded-For",
        "Expect",
    ]
)


@settings(
    max_examples=300 if not profiles.SOAK else 20_000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "X"]),
    paths,
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"), max_size=30),
    st.dictionaries(header_names, header_values, max_size=3),
    st.binary(max_size=100),
)
def test_whatever_is_asked_the_answer_is_no_500(  # noqa: PLR0917  a request has as many parts
    server: Running, method: str, path: str, query: str, headers: dict[str, str], body: bytes
) -> None:
    lines = [f"{name}: {value}" for name, value in headers.items()]

    answer = ask(server, method, f"{path}?{query}", *lines, body=body)

    assert answer.status < 500
    if answer.status >= 400 and answer.body:
        assert answer.errors[0]["code"] in CODES


json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just(DIGEST) | st.just(descriptor(b"{}", LAYER_TYPE)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=200 if not profiles.SOAK else 20_000)
@given(
    st.dictionaries(
        st.sampled_from(
            ["mediaType", "config", "layers", "manifests", "blobs", "subject", "annotations", "artifactType", "x"]
        ),
        json_values,
    ),
    st.sampled_from([OCI_IMAGE, OCI_INDEX, "", "application/vnd.example+json"]),
)
def test_whatever_is_pushed_comes_back_as_it_was_or_is_refused(
    fuzzed: httpx.Client, fields: dict[str, Any], content_type: str
) -> None:
    content = json.dumps({"schemaVersion": 2, **fields}).encode()

    response = push_manifest(fuzzed, "fuzzed", "latest", content, content_type)

    if response.status_code == 201:
        assert fuzzed.get("/v2/fuzzed/manifests/latest").content == content
        subject = response.headers.get("oci-subject")
        if subject:
            listed = fuzzed.get(f"/v2/fuzzed/referrers/{subject}").json()["manifests"]
            assert sha256(content) in [entry["digest"] for entry in listed]
    else:
        assert response.status_code in {400, 404}
        assert response.json()["errors"][0]["code"] in CODES


# One tag, two digests


def test_of_two_pushes_of_one_tag_at_once_one_wins_and_both_manifests_stay(
    server: Running, client: httpx.Client
) -> None:
    push_blob(client, "race", b"{}")
    contents = [image(annotations={"number": str(number)}) for number in range(2)]
    digests = {sha256(content) for content in contents}

    def push(content: bytes) -> int:
        with httpx.Client(base_url=server.url) as own:
            return max(push_manifest(own, "race", "latest", content).status_code for _ in range(20))

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(push, contents)) == [201, 201]

    current = client.head("/v2/race/manifests/latest").headers["docker-content-digest"]
    assert current in digests
    assert all(client.head(f"/v2/race/manifests/{digest}").status_code == 200 for digest in digests)
    history = _history(server, "race", "latest")
    assert [move[0] for move in history] == [None, *(move[1] for move in history[:-1])]
    assert history[-1][1] == current
    assert all(before != after for before, after in history)


def _history(server: Running, repository: str, tag: str) -> list[tuple[str | None, str | None]]:
    import apsw  # noqa: PLC0415

    connection = apsw.Connection(str(server.data / "pierhead.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        rows = connection.execute(
            """
            SELECT tag_history.before, tag_history.after
              FROM tag_history JOIN repositories ON repositories.id = repository_id
             WHERE repositories.name = ? AND tag_history.name = ?
             ORDER BY tag_history.event_id
            """,
            (repository, tag),
        ).fetchall()
    finally:
        connection.close()
    return [(str(before) if before else None, str(after)) for before, after in rows]


def test_what_is_refused_leaves_nothing_that_can_be_seen(server: Running, client: httpx.Client) -> None:
    before = Ledger.of(server)
    for name in ("bad/seen", "bad/seen/too"):
        push_manifest(client, name, "latest", b"[]")
        client.post(f"/v2/{name}/blobs/uploads/", params={"digest": OTHER}, content=CONTENT)

    assert Ledger.of(server) == before
    assert not {"bad/seen", "bad/seen/too"} & set(_catalog(client))
    assert client.get("/v2/bad/seen/tags/list").status_code == 404
    assert client.head(f"/v2/bad/seen/blobs/{OTHER}").status_code == 404


def test_a_connection_serves_on_after_a_refusal(server: Running) -> None:
    with Socket(server) as connection:
        for path in ("/v2/A/tags/list", "/v2/a/blobs/sha256:x", "/v2/"):
            status = connection.request("GET", path).answer().status
            assert status == (200 if path == "/v2/" else 400)
