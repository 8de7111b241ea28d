"""HEAD, then skip: what a client was told of is there for its manifest, and what needs no lease writes nothing."""

import hashlib
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.contracts.database import Place
from tests.running import Running, serving
from tests.servers.postgresql import sql

MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONTENT = b"layer" * 10_000
BLOB = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
SETTINGS = {"PIERHEAD_COLLECTION_GRACE_HOURS": "0", "PIERHEAD_JOBS_ENABLED": "false"}
ANN = ("ann", "password")


class Rows:
    """What the database of a server says."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def ask(self, statement: str) -> str:
        """Columns of the rows between bars, one row a line."""
        if self._place.kind == "postgresql":
            return sql(self._place.where, statement)
        path = Path(self._place.where) / "data" / "pierhead.db"
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            connection.create_function("clock_us", 0, lambda: time.time_ns() // 1000)
            found = connection.execute(statement).fetchall()
            connection.commit()
        return "\n".join("|".join(map(str, row)) for row in found)

    def leased(self) -> float:
        """Seconds that are left of the blob's lease."""
        return float(
            self.ask(f"SELECT (leased_until - clock_us()) / 1000000 FROM unreferenced_blobs WHERE digest = '{BLOB}'")
        )

    def shorten(self, seconds: int) -> None:
        self.ask(f"UPDATE unreferenced_blobs SET leased_until = clock_us() + {seconds * 1_000_000}")


@pytest.fixture
def rows(place: Place) -> Rows:
    return Rows(place)


@pytest.fixture
def running(place: Place, tmp_path: Path) -> Iterator[Running]:
    """Ann may do everything, who does not sign in may pull."""
    accounts = tmp_path / "accounts"
    accounts.write_text("ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")
    arguments = ["--workers", "1", "--htpasswd", str(accounts), "--allow-anonymous"]
    if place.kind == "postgresql":
        arguments += ["--database", place.where]
    with serving(tmp_path / "data", *arguments, environment=SETTINGS) as running:
        yield running


@pytest.fixture
def ann(running: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, auth=ANN, timeout=30) as client:
        yield client


def push(client: httpx.Client, content: bytes = CONTENT, repository: str = "team/app") -> None:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    answer = client.post(f"/v2/{repository}/blobs/uploads/", params={"digest": digest}, content=content)
    assert answer.status_code == 201, answer.text


def put(client: httpx.Client) -> httpx.Response:
    descriptor = {"mediaType": "application/x", "digest": BLOB, "size": len(CONTENT)}
    document = {"schemaVersion": 2, "mediaType": MEDIA_TYPE, "config": descriptor, "layers": []}
    headers = {"content-type": MEDIA_TYPE}
    return client.put("/v2/team/app/manifests/v1", content=json.dumps(document).encode(), headers=headers)


def head(client: httpx.Client) -> int:
    return client.head(f"/v2/team/app/blobs/{BLOB}").status_code


def commits(client: httpx.Client) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("pierhead_database_commits_total"))


def gc(running: Running, place: Place) -> None:
    database = ["--database", place.where] if place.kind == "postgresql" else []
    command = [
        sys.executable,
        "-m",
        "pierhead.cli.main",
        "gc",
        "--data",
        str(running.data),
        *database,
        "--grace-hours",
        "0",
    ]
    subprocess.run([*command, "--grace-hours", "0"], check=True, timeout=60, capture_output=True)


def test_who_may_push_and_is_told_of_a_blob_has_his_lease(
    ann: httpx.Client, running: Running, rows: Rows, place: Place
) -> None:
    push(ann)
    rows.shorten(3)

    assert head(ann) == 200
    assert rows.leased() > 3600
    gc(running, place)
    assert put(ann).status_code == 201
    assert ann.get(f"/v2/team/app/blobs/{BLOB}").content == CONTENT


def test_a_lease_is_written_only_when_less_than_was_promised_is_left(ann: httpx.Client, rows: Rows) -> None:
    push(ann)
    head(ann)
    before = commits(ann)
    rows.shorten(3700)

    assert [head(ann) for _ in range(5)] == [200] * 5
    assert commits(ann) == before
    rows.shorten(3500)
    assert [head(ann) for _ in range(5)] == [200] * 5
    assert commits(ann) == before + 1


def test_a_blob_that_a_manifest_needs_is_told_of_without_a_write(ann: httpx.Client, rows: Rows) -> None:
    push(ann)
    assert put(ann).status_code == 201
    rows.shorten(0)
    before = commits(ann)

    assert [head(ann) for _ in range(5)] == [200] * 5
    assert commits(ann) == before


def test_who_may_only_pull_gets_no_lease_and_writes_nothing(ann: httpx.Client, running: Running, rows: Rows) -> None:
    push(ann)
    rows.shorten(60)
    before = commits(ann)

    with httpx.Client(base_url=running.url, timeout=30) as anybody:
        assert [head(anybody) for _ in range(5)] == [200] * 5
    assert commits(ann) == before
    assert rows.leased() <= 60


def test_a_push_and_a_mount_of_what_is_held_renew_its_lease(ann: httpx.Client, rows: Rows) -> None:
    push(ann)
    push(ann, repository="team/other")
    rows.ask("DELETE FROM unreferenced_blobs WHERE repository_id <> (SELECT min(id) FROM repositories)")
    rows.shorten(60)
    push(ann)
    pushed = rows.leased()
    rows.shorten(60)
    mounted = ann.post("/v2/team/app/blobs/uploads/", params={"mount": BLOB, "from": "team/other"}).status_code

    assert (pushed > 3600, mounted, rows.leased() > 3600) == (True, 201, True)


def test_after_its_lease_a_blob_may_be_gone_and_its_manifest_is_refused(
    ann: httpx.Client, running: Running, rows: Rows, place: Place
) -> None:
    push(ann)
    assert head(ann) == 200
    rows.shorten(-1)
    gc(running, place)

    answer = put(ann)

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "MANIFEST_BLOB_UNKNOWN")
    assert head(ann) == 404
