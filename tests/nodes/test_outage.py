"""The database goes away for a while, cut off or silent, and comes back."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import bcrypt
import httpx
import pytest

from tests.nodes.cluster import CONFIG, MANIFEST, digest_of, manifest
from tests.running import Running, serving
from tests.servers.postgresql import Cluster
from tests.servers.toxiproxy import Link
from tests.servers.toxiproxy import Server as Toxiproxy

CONTENT = manifest("outage")
BY_DIGEST = f"/v2/team/app/manifests/{digest_of(CONTENT)}"
BY_TAG = "/v2/team/app/manifests/latest"
BLOB = f"/v2/team/app/blobs/{digest_of(CONFIG)}"
SHORT = {
    "PIERHEAD_DATABASE_STATEMENT_SECONDS": "0.5",
    "PIERHEAD_DATABASE_CONNECT_SECONDS": "0.5",
    "PIERHEAD_DATABASE_WAIT_SECONDS": "0.5",
}


@pytest.fixture
def link(toxiproxy: Toxiproxy, postgresql: Cluster) -> Iterator[Link]:
    with toxiproxy.link(f"127.0.0.1:{postgresql.port}") as link:
        yield link


@pytest.fixture
def url(postgresql: Cluster, link: Link) -> Iterator[str]:
    with postgresql.database("outage"):
        yield f"postgresql://postgres@{link.host}/outage"


@pytest.fixture
def arguments(url: str) -> list[str]:
    return ["--workers", "1", "--database", url]


def push(client: httpx.Client) -> None:
    begun = client.post("/v2/team/app/blobs/uploads/")
    finished = client.put(f"{begun.headers['location']}?digest={digest_of(CONFIG)}", content=CONFIG)
    assert finished.status_code == 201, finished.text
    assert client.put(BY_TAG, content=CONTENT, headers={"content-type": MANIFEST}).status_code == 201


@pytest.mark.parametrize("trouble", [Link.cut, Link.timeout], ids=["cut", "silent"])
def test_who_asks_meanwhile_is_told_to_come_back_and_afterwards_all_is_well(
    arguments: list[str], link: Link, tmp_path: Path, trouble: Callable[[Link], None]
) -> None:
    with serving(tmp_path / "data", *arguments, environment=SHORT) as server, client(server) as asker:
        push(asker)
        assert asker.get(BY_TAG).content == CONTENT
        trouble(link)
        for _ in range(3):
            mounting = asker.post(f"/v2/team/app/blobs/uploads/?mount={digest_of(CONFIG)}")
            for answer in (asker.get(BY_TAG), asker.get(BY_DIGEST), mounting):
                assert answer.status_code == 503, answer.text
                assert answer.headers["retry-after"] in ("1", "5")
        began = time.monotonic()
        assert asker.get(BY_TAG).status_code == 503
        assert time.monotonic() - began < 2
        ready = asker.get("/readyz")
        assert (ready.status_code, ready.json()["parts"]["database"]["status"]) == (503, "failed")
        assert asker.get("/healthz").status_code == 200
        link.heal()

        eventually(lambda: asker.get(BY_TAG).content == CONTENT)
        eventually(lambda: asker.get("/readyz").status_code == 200)
        push(asker)


def test_what_was_found_lately_is_served_by_digest_to_who_may_pull(
    arguments: list[str], link: Link, tmp_path: Path
) -> None:
    accounts = tmp_path / "htpasswd"
    accounts.write_text(f"alice:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
    arguments += ["--htpasswd", str(accounts)]
    environment = {**SHORT, "PIERHEAD_DATABASE_SERVE_STALE": "true"}
    with serving(tmp_path / "data", *arguments, environment=environment) as server, client(server) as asker:
        asker.auth = ("alice", "secret")
        push(asker)
        for path in (BY_TAG, BY_DIGEST, BLOB):
            assert asker.get(path).status_code == 200
        link.cut()
        answers = {path: asker.get(path) for path in (BY_DIGEST, BLOB, BY_TAG)}

        assert (answers[BY_DIGEST].content, answers[BLOB].content) == (CONTENT, CONFIG)
        assert answers[BY_TAG].status_code == 503
        assert asker.get(f"/v2/team/app/blobs/{digest_of(b'never asked for')}").status_code == 503
        assert asker.get(f"/v2/team/other/manifests/{digest_of(CONTENT)}").status_code == 503
        # Whom a name belongs to is a row: who was not let in lately is let in by nobody now.
        assert asker.get(BY_DIGEST, auth=("alice", "wrong")).status_code == 503


def client(server: Running) -> httpx.Client:
    return httpx.Client(base_url=server.url, timeout=30)


def eventually(holds: Callable[[], bool], seconds: float = 15) -> None:
    ending = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ending
        time.sleep(0.1)
