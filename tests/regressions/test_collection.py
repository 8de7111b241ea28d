"""Collection: what it may never take, what it has to take, and that nobody waits for it."""

import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest

from pierhead.metadata.sqlite import engine
from pierhead.registry.documents import DOCKER_IMAGE, OCI_ARTIFACT, OCI_IMAGE, OCI_INDEX
from tests.distribution.logs import failures
from tests.distribution.wire import (
    LAYER_TYPE,
    Ledger,
    descriptor,
    image,
    push_blob,
    push_image,
    push_manifest,
    sha256,
)
from tests.regressions.acting import LEASES_OVER_SECONDS, attempt, collect, eager, pierhead, purge, started
from tests.running import Running, serving

LARGE = 64 * 1024  # bytes: above what lies beside its row
SLOWEST = 2.0  # seconds of a request, on a busy machine


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with eager(tmp_path_factory.mktemp("collection") / "data") as running:
        yield running
    assert failures(running.log) == []


def blobs_left(server: Running, *digests: str) -> list[str]:
    """Those of these whose row or file is still there."""
    with closing(apsw.Connection(str(server.data / "pierhead.db"), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        rows = {digest for (digest,) in connection.execute("SELECT digest FROM blobs")}
        rows |= {digest for (digest,) in connection.execute("SELECT digest FROM doomed_keys")}
    return [one for one in digests if one in rows or list(server.data.glob(f"blobs/sha256/*/{one[7:]}.*"))]


def vain(client: httpx.Client, repository: str) -> str:
    """A blob that no manifest needs."""
    return push_blob(client, repository, os.urandom(LARGE))


# What it may never take


def _image(client: httpx.Client, repository: str) -> tuple[str, bytes]:
    layers = [os.urandom(LARGE), os.urandom(100)]
    for content in (b"{}", *layers):
        push_blob(client, repository, content)
    return OCI_IMAGE, image(b"{}", layers)


def _same_layer_twice(client: httpx.Client, repository: str) -> tuple[str, bytes]:
    """angos 1.4.2 collected what a manifest names twice."""
    layer = os.urandom(LARGE)
    for content in (b"{}", layer):
        push_blob(client, repository, content)
    return OCI_IMAGE, image(b"{}", [layer, layer, layer])


def _config_that_is_a_layer(client: httpx.Client, repository: str) -> tuple[str, bytes]:
    push_blob(client, repository, b"{}")
    return OCI_IMAGE, image(b"{}", [b"{}"])


def _unknown_parts(client: httpx.Client, repository: str) -> tuple[str, bytes]:
    parts = [os.urandom(LARGE), os.urandom(100)]
    for content in parts:
        push_blob(client, repository, content)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE,
        "artifactType": "application/vnd.example.unheard-of.v7",
        "config": descriptor(parts[0], "application/vnd.example.settings+cbor"),
        "layers": [descriptor(parts[1], "application/vnd.example.pieces")],
    }
    return OCI_IMAGE, json.dumps(document).encode()


def _unknown_manifest(client: httpx.Client, repository: str) -> tuple[str, bytes]:
    """zot#4271, distribution#1960: a manifest that the collector could not read ended it, or was taken for empty."""
    parts = [os.urandom(LARGE), os.urandom(100)]
    for content in parts:
        push_blob(client, repository, content)
    kind = "application/vnd.example.manifest.v9+json"
    document = {"schemaVersion": 9, "mediaType": kind, "layers": [descriptor(part, LAYER_TYPE) for part in parts]}
    return kind, json.dumps(document).encode()


def _artifact(client: httpx.Client, repository: str) -> tuple[str, bytes]:
    content = os.urandom(LARGE)
    push_blob(client, repository, content)
    document = {"mediaType": OCI_ARTIFACT, "artifactType": "text/plain", "blobs": [descriptor(content, "text/plain")]}
    return OCI_ARTIFACT, json.dumps(document).encode()


def _docker_image(client: httpx.Client, repository: str) -> tuple[str, bytes]:
    media_type, content = _image(client, repository)
    assert media_type == OCI_IMAGE
    return DOCKER_IMAGE, json.dumps({**json.loads(content), "mediaType": DOCKER_IMAGE}).encode()


def _no_layers(client: httpx.Client, repository: str) -> tuple[str, bytes]:
    config = os.urandom(LARGE)
    push_blob(client, repository, config)
    return OCI_IMAGE, image(config)


def _index(client: httpx.Client, repository: str) -> tuple[str, bytes]:
    entries = []
    for _ in range(2):
        media_type, content = _image(client, repository)
        assert push_manifest(client, repository, sha256(content), content, media_type).status_code == 201
        entries.append(descriptor(content, media_type))
    return OCI_INDEX, json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()


def _empty_index(client: httpx.Client, repository: str) -> tuple[str, bytes]:
    """angos, zot: an index that lists nothing ended the collection of all the others."""
    push_blob(client, repository, b"{}")
    return OCI_INDEX, json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()


def _index_of_layers(client: httpx.Client, repository: str) -> tuple[str, bytes]:
    """As BuildKit keeps its cache."""
    content = os.urandom(LARGE)
    push_blob(client, repository, content)
    entries = [descriptor(content, LAYER_TYPE)]
    return OCI_INDEX, json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()


KINDS = (
    _image,
    _same_layer_twice,
    _config_that_is_a_layer,
    _unknown_parts,
    _unknown_manifest,
    _artifact,
    _docker_image,
    _no_layers,
    _index,
    _empty_index,
    _index_of_layers,
)


def _digests(value: Any) -> set[str]:
    """All that stand anywhere in a document."""
    if isinstance(value, dict):
        found = set().union(*map(_digests, value.values()), set())
        return found | ({value["digest"]} if isinstance(value.get("digest"), str) else set())
    return set().union(*map(_digests, value), set()) if isinstance(value, list) else set()


def test_no_kind_of_manifest_loses_what_it_needs(server: Running, client: httpx.Client) -> None:
    pushed = {}
    for kind in KINDS:
        repository = f"kinds/{kind.__name__.strip('_')}"
        media_type, content = kind(client, repository)
        assert push_manifest(client, repository, "1", content, media_type).status_code == 201, kind
        pushed[repository] = (content, vain(client, repository))

    for _ in range(2):
        collect(server.data)

    for repository, (content, unneeded) in pushed.items():
        pulled = client.get(f"/v2/{repository}/manifests/1")
        assert pulled.content == content, repository
        assert _complete(client, repository, json.loads(content)) == _digests(json.loads(content)), repository
        assert client.head(f"/v2/{repository}/blobs/{unneeded}").status_code == 404, repository
    assert blobs_left(server, *(unneeded for _, unneeded in pushed.values())) == []


def _complete(client: httpx.Client, repository: str, document: Any) -> set[str]:
    """The digests of a document that are there, byte for byte, and whose own digests are."""
    found = set()
    for digest in _digests(document):
        blob = client.get(f"/v2/{repository}/blobs/{digest}")
        one = blob if blob.status_code == 200 else client.get(f"/v2/{repository}/manifests/{digest}")
        if one.status_code == 200 and sha256(one.content) == digest:
            found.add(digest)
        if one is not blob:
            assert _complete(client, repository, one.json()) == _digests(one.json())
    return found


def test_a_referrer_that_came_before_its_subject_keeps_its_blobs(server: Running, client: httpx.Client) -> None:
    content = os.urandom(LARGE)
    for part in (b"{}", content):
        push_blob(client, "early", part)
    subject = descriptor(image(b'{"of": "later"}'), OCI_IMAGE)
    signature = image(b"{}", [content], subject=subject)
    assert push_manifest(client, "early", sha256(signature), signature).status_code == 201

    collect(server.data)

    assert client.get(f"/v2/early/manifests/{sha256(signature)}").content == signature
    assert client.get(f"/v2/early/blobs/{sha256(content)}").content == content


def test_who_was_told_that_a_blob_is_there_may_name_it(server: Running, client: httpx.Client) -> None:
    """GitLab's registry accepts this race: a blob that a client saw by HEAD was gone when its manifest came."""
    layer = os.urandom(LARGE)
    push_blob(client, "told", b"{}")
    push_blob(client, "told", layer)
    time.sleep(LEASES_OVER_SECONDS)
    for content in (b"{}", layer):
        assert client.head(f"/v2/told/blobs/{sha256(content)}").status_code == 200

    collect(server.data, leases=False)

    manifest = image(b"{}", [layer])
    assert push_manifest(client, "told", "1", manifest).status_code == 201
    collect(server.data)
    assert client.get(f"/v2/told/blobs/{sha256(layer)}").content == layer


def test_a_blob_of_two_repositories_stays_for_the_one_that_needs_it(server: Running, client: httpx.Client) -> None:
    layer = os.urandom(LARGE)
    for repository in ("shared/needs", "shared/holds"):
        push_blob(client, repository, b"{}")
        push_blob(client, repository, layer)
    assert push_manifest(client, "shared/needs", "1", image(b"{}", [layer])).status_code == 201

    collect(server.data)

    assert client.get(f"/v2/shared/needs/blobs/{sha256(layer)}").content == layer
    assert client.head(f"/v2/shared/holds/blobs/{sha256(layer)}").status_code == 404


# What nobody may be told afterwards


def test_no_cache_says_that_a_collected_blob_is_there(server: Running, client: httpx.Client) -> None:
    """distribution#4868: a cache of descriptors let a push skip a layer that was no more."""
    small, large = push_blob(client, "cached", os.urandom(500)), vain(client, "cached")

    def statuses(digest: str, method: str) -> set[int]:
        found = set()
        for _ in range(12):  # on connections of their own, so that each worker is asked
            found.add(httpx.request(method, f"{server.url}/v2/cached/blobs/{digest}", timeout=30).status_code)
        return found

    for digest in (small, large):
        assert statuses(digest, "GET") | statuses(digest, "HEAD") == {200}

    collect(server.data)

    for digest in (small, large):
        assert statuses(digest, "HEAD") | statuses(digest, "GET") == {404}
        mounting = client.post("/v2/elsewhere/blobs/uploads/", params={"mount": digest, "from": "cached"})
        assert mounting.status_code == 202
    refused = push_manifest(client, "cached", "1", _naming(small, large))
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (404, "MANIFEST_BLOB_UNKNOWN")


def _naming(config: str, layer: str) -> bytes:
    document = json.loads(image(b"{}", [b"x"]))
    document["config"]["digest"], document["layers"][0]["digest"] = config, layer
    return json.dumps(document).encode()


def test_what_was_collected_can_be_pushed_again(server: Running, client: httpx.Client) -> None:
    """The bytes go late; they must not be those of the next push."""
    content = os.urandom(LARGE)
    for _ in range(3):
        push_blob(client, "again", content)
        collect(server.data)
        assert client.head(f"/v2/again/blobs/{sha256(content)}").status_code == 404

    push_blob(client, "again", b"{}")
    push_blob(client, "again", content)
    assert push_manifest(client, "again", "1", image(b"{}", [content])).status_code == 201
    collect(server.data)
    assert client.get(f"/v2/again/blobs/{sha256(content)}").content == content


# Nobody waits for it


def test_pushes_and_pulls_go_on_while_blobs_are_collected(tmp_path: Path) -> None:
    """distribution#2881: the registry had to be read-only. zot#2964: its whole store was locked, for ten seconds."""
    data = tmp_path / "data"
    with eager(data) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        push_image(client, "kept", "1", "kept")
        many = 8_000
        _leave(data, many)

        pushed: list[tuple[str, str]] = []
        process, slowest = started(data, "gc"), 0.0
        while process.poll() is None or not pushed:
            for work in (lambda: client.get("/v2/kept/manifests/1"), lambda: _push(client, pushed)):
                begun = time.monotonic()
                work()
                slowest = max(slowest, time.monotonic() - begun)
        assert process.communicate()[1] == ""
        assert process.returncode == 0

        assert len(pushed) > 3
        assert slowest < SLOWEST
        assert _count(data, "blobs WHERE key LIKE 'row:%' AND size = 7") == 0
        pierhead(data, "gc")
        for tag, digest in pushed:
            assert client.get(f"/v2/new/manifests/{tag}").headers["docker-content-digest"] == digest
    assert failures(server.log) == []


def _push(client: httpx.Client, pushed: list[tuple[str, str]]) -> None:
    tag = f"t{len(pushed)}"
    pushed.append((tag, push_image(client, "new", tag, tag)))


def _leave(data: Path, many: int) -> None:
    """Small blobs that nothing needs, and whose time is over, straight into the rows."""
    with closing(engine.connect(data / "pierhead.db")) as connection, connection:
        repository_id = connection.execute("SELECT id FROM repositories WHERE name = 'kept'").get
        digests = [(f"sha256:{number:064x}",) for number in range(many)]
        connection.executemany("INSERT INTO blobs VALUES (?1, 7, 'row:' || ?1, 0, NULL)", digests)
        connection.executemany("INSERT INTO blob_contents VALUES (?1, x'01020304050607')", digests)
        connection.executemany(f"INSERT INTO repository_blobs VALUES ({repository_id}, ?1, 0)", digests)
        connection.executemany(f"INSERT INTO unreferenced_blobs VALUES ({repository_id}, ?1, 0, 0)", digests)


def _count(data: Path, what: str) -> int:
    with closing(apsw.Connection(str(data / "pierhead.db"), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        count: int = connection.execute(f"SELECT count(*) FROM {what}").get
    return count


# Whatever stands in its way


def test_a_blob_that_cannot_be_removed_stops_no_other(tmp_path: Path) -> None:
    """distribution#1960: a broken link ended the collection, of which nothing else was done then or ever."""
    data = tmp_path / "data"
    with eager(data) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        stuck, missing, *others = (vain(client, "broken") for _ in range(12))
        [file] = data.glob(f"blobs/sha256/*/{stuck[7:]}.*")
        file.unlink()
        file.mkdir()
        (file / "in the way").touch()
        [lost] = data.glob(f"blobs/sha256/*/{missing[7:]}.*")
        lost.unlink()

        time.sleep(LEASES_OVER_SECONDS)
        attempt(data, "gc")

        assert blobs_left(server, missing, *others) == []
        assert client.head(f"/v2/broken/blobs/{stuck}").status_code == 404
        (file / "in the way").unlink()
        file.rmdir()
        pierhead(data, "gc")
        assert blobs_left(server, stuck) == []


def test_many_blobs_that_cannot_be_removed_stop_none_behind_them(tmp_path: Path) -> None:
    """The same, where a whole page of what is to be removed begins with one of them, and the next page too."""
    data = tmp_path / "data"
    with eager(data) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        push_image(client, "kept", "1", "kept")
    keys = [_key(number) for number in range(0, 1 << 16, 1 << 3)]  # 8,192, all over
    stuck = [data / "blobs" / key for key in keys[:: len(keys) // 8]]
    for path in stuck:
        path.mkdir()
        (path / "in the way").touch()
    behind = data / "blobs" / _key((1 << 16) - 1)
    behind.touch()
    with closing(engine.connect(data / "pierhead.db")) as connection, connection:
        rows = [(key,) for key in (*keys, _key((1 << 16) - 1))]
        connection.executemany("INSERT INTO doomed_keys (key, doomed_at) VALUES (?, 0)", rows)

    for _ in range(2):
        attempt(data, "gc")

    assert not behind.exists()
    for path in stuck:
        (path / "in the way").unlink()
        path.rmdir()
    pierhead(data, "gc")
    assert _count(data, "doomed_keys") == 0


def _key(number: int) -> str:
    hexed = f"{number:04x}{number:060x}"
    return f"sha256/{hexed[:2]}/{hexed}.{number:032x}-0"


def test_a_collector_that_is_killed_breaks_neither_itself_nor_the_next_start(tmp_path: Path) -> None:
    """zot#1233: what a collection left half-done kept the registry from starting."""
    seed = random.SystemRandom().randrange(10**9)
    chance, data = random.Random(seed), tmp_path / "data"
    with eager(data) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        digest = push_image(client, "kept", "1", "kept")
        layer = os.urandom(LARGE)
        push_blob(client, "kept", layer)
        push_blob(client, "kept", b"{}")
        assert push_manifest(client, "kept", "2", image(b"{}", [layer])).status_code == 201
        unneeded = [vain(client, "kept") for _ in range(80)]
        _leave(data, 3000)
        time.sleep(LEASES_OVER_SECONDS)
        for _ in range(6):
            process = started(data, "gc")
            time.sleep(chance.uniform(0.2, 1.2))
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert client.get("/v2/kept/manifests/1").headers["docker-content-digest"] == digest, seed

    with serving(data) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        pierhead(data, "gc")
        assert blobs_left(server, *unneeded) == [], seed
        assert _count(data, "blobs WHERE size = 7") == 0
        assert client.get(f"/v2/kept/blobs/{sha256(layer)}").content == layer, seed
        assert client.get("/v2/kept/manifests/2").status_code == 200


def test_many_collectors_at_once_are_as_good_as_one(server: Running, client: httpx.Client) -> None:
    """soleur#6126: no lock between instances, so that two of them undid one another's work."""
    unneeded = [vain(client, "crowded") for _ in range(60)]
    layer = os.urandom(LARGE)
    for content in (b"{}", layer):
        push_blob(client, "crowded", content)
    assert push_manifest(client, "crowded", "1", image(b"{}", [layer])).status_code == 201
    time.sleep(LEASES_OVER_SECONDS)

    processes = [started(server.data, "gc") for _ in range(4)]

    assert [process.communicate()[1] for process in processes] == [""] * 4
    assert [process.returncode for process in processes] == [0] * 4
    assert blobs_left(server, *unneeded) == []
    assert client.get(f"/v2/crowded/blobs/{sha256(layer)}").content == layer


# What is left


def test_a_collector_leaves_no_row_of_what_it_removed(tmp_path: Path) -> None:
    """harbor#17857: the rows of collected blobs stayed, 70 million of them. distribution#1859: so did repositories."""
    data = tmp_path / "data"
    with eager(data) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        push_image(client, "kept", "1", "kept")
        collect(data)
        before = Ledger.of(server)
        for number in range(5):
            layer = os.urandom(LARGE)
            for content in (b"{}", layer):
                push_blob(client, "gone", content)
            assert push_manifest(client, "gone", f"t{number}", image(b"{}", [layer])).status_code == 201
            client.delete(f"/v2/gone/manifests/{sha256(image(b'{}', [layer]))}").raise_for_status()
        assert client.get("/v2/_catalog").json()["repositories"] == ["kept"]

        purge(data, "gone")
        collect(data)

        after = Ledger.of(server)
        for kind in ("blobs", "repository_blobs", "manifests", "tags"):
            assert after.rows[kind] == before.rows[kind], kind
        assert after.blobs == before.blobs
        assert _count(data, "manifest_references") == 1
        assert _count(data, "manifest_contents") == 1
        assert _count(data, "unreferenced_blobs") + _count(data, "doomed_keys") + _count(data, "trash") == 0


def test_pushes_that_meet_a_collector_are_whole_or_told(server: Running) -> None:
    """distribution#3709: images that were pushed during a collection were acknowledged, and lacked layers."""
    over = threading.Event()
    problems: list[str] = []
    shared = [os.urandom(LARGE) for _ in range(3)]

    def push(number: int) -> None:
        chance = random.Random(number)
        with httpx.Client(base_url=server.url, timeout=30) as client:
            while not over.is_set():
                layers = chance.sample(shared, 2)
                for content in (b"{}", *layers):
                    if client.head(f"/v2/met/blobs/{sha256(content)}").status_code == 404:
                        push_blob(client, "met", content)
                tag, content = f"t{number}", image(b"{}", layers)
                response = push_manifest(client, "met", tag, content)
                if response.status_code != 201:
                    problems.append(response.text)
                    continue
                if any(client.get(f"/v2/met/blobs/{sha256(layer)}").content != layer for layer in layers):
                    problems.append(f"{tag} was acknowledged and is not whole")
                client.delete(f"/v2/met/manifests/{sha256(content)}")

    threads = [threading.Thread(target=push, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(6):
        pierhead(server.data, "gc", PIERHEAD_TRASH_KEEP_HOURS="0")
    over.set()
    for thread in threads:
        thread.join()

    assert problems == []
