"""The kinds of jobs that there are, as a running server and `pierhead worker` do them."""

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.jobs.conftest import eventually
from tests.running import Running, serving

SCHEDULED = {
    "audit.prune",
    "audit.seal",
    "blobs.collect",
    "blobs.mark",
    "blobs.scrub",
    "jobs.forget",
    "manifests.untagged",
    "tokens.forget",
    "tokens.rotate-keys",
    "trash.purge",
    "uploads.abort-orphans",
    "uploads.expire",
}
OFTEN = {"PIERHEAD_JOBS_POLL_SECONDS": "0.05"}


def rows(data: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"file:{data}/pierhead.db?mode=ro", uri=True, timeout=30)) as connection:
        return connection.execute(sql).fetchall()


def scheduled(data: Path) -> set[object]:
    return {kind for (kind,) in rows(data, "SELECT kind FROM jobs")}


def write(data: Path, sql: str) -> None:
    with closing(sqlite3.connect(data / "pierhead.db", timeout=30)) as connection:
        connection.execute(sql)
        connection.commit()


def pierhead(data: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "pierhead.cli.main", "jobs", *arguments, "--data", str(data)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


def ran(data: Path, kind: str) -> bool:
    return bool(rows(data, f"SELECT 1 FROM jobs WHERE kind = '{kind}' AND finished_at IS NOT NULL"))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A server that has its schedules."""
    with serving(tmp_path / "data", "--workers", "1", environment=OFTEN) as running:
        eventually(lambda: scheduled(running.data) == SCHEDULED)
        yield running


def begin(running: Running) -> str:
    """The path of an upload session with a byte."""
    opened = httpx.post(f"{running.url}/v2/app/blobs/uploads/", timeout=30)
    location: str = opened.headers["location"]
    assert httpx.patch(f"{running.url}{location}", content=b"x", timeout=30).status_code == 202
    return location


def staged(data: Path) -> list[Path]:
    return list(data.glob("uploads/*/*"))


def test_expired_sessions_go_with_their_bytes(running: Running) -> None:
    begin(running)
    write(running.data, "UPDATE uploads SET touched_at = 0")
    pierhead(running.data, "run", "uploads.expire")

    eventually(lambda: ran(running.data, "uploads.expire"))
    assert staged(running.data) == []
    assert rows(running.data, "SELECT * FROM uploads") == []


def test_what_a_dead_process_staged_for_no_session_goes(running: Running) -> None:
    begin(running)
    write(running.data, "DELETE FROM uploads")
    [file] = staged(running.data)
    os.utime(file, (0, 0))
    pierhead(running.data, "run", "uploads.abort-orphans")

    eventually(lambda: ran(running.data, "uploads.abort-orphans"))
    assert staged(running.data) == []


def test_the_next_key_of_tokens_is_made_in_time(running: Running) -> None:
    httpx.get(f"{running.url}/token?scope=repository:a:pull", timeout=30).raise_for_status()
    before = httpx.get(f"{running.url}/token/keys", timeout=30).json()["keys"]
    write(running.data, f"UPDATE signing_keys SET signs_from = signs_from - {40 * 86_400_000_000}")

    pierhead(running.data, "run", "tokens.rotate-keys")

    eventually(lambda: len(rows(running.data, "SELECT kid FROM signing_keys")) == 2)
    eventually(lambda: len(httpx.get(f"{running.url}/token/keys", timeout=30).json()["keys"]) == 2)
    assert before[0] in httpx.get(f"{running.url}/token/keys", timeout=30).json()["keys"]


def test_jobs_that_were_done_long_ago_are_forgotten(running: Running) -> None:
    for state in ("done", "dead"):
        write(
            running.data,
            "INSERT INTO jobs (kind, key, arguments, state, due_at, asked, attempts, created_at, finished_at)"
            f"VALUES ('old', '', '{{}}', '{state}', 0, 0, 1, 0, 0)",
        )
    pierhead(running.data, "run", "jobs.forget")

    eventually(lambda: ran(running.data, "jobs.forget"))
    assert rows(running.data, "SELECT state FROM jobs WHERE kind = 'old'") == [("dead",)]


def test_an_idle_server_writes_nothing(running: Running) -> None:
    before = (running.data / "pierhead.db-wal").read_bytes()
    time.sleep(3)

    assert (running.data / "pierhead.db-wal").read_bytes() == before


def test_blobs_are_read_again_and_what_was_altered_is_set_aside(tmp_path: Path) -> None:
    content = bytes(range(256)) * 400
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    cycles = {**OFTEN, "PIERHEAD_SCRUB_DAYS": "0.00001"}
    with serving(tmp_path / "data", "--workers", "1", environment=cycles) as running:
        pushed = httpx.post(f"{running.url}/v2/app/blobs/uploads/?digest={digest}", content=content, timeout=30)
        assert pushed.status_code == 201
        [file] = running.data.glob("blobs/sha256/*/*")
        file.write_bytes(b"x" + content[1:])

        def scrubbed() -> bool:
            pierhead(running.data, "run", "blobs.scrub")
            return httpx.head(f"{running.url}/v2/app/blobs/{digest}", timeout=30).status_code == 404

        eventually(lambda: "blobs.scrub" in scheduled(running.data))
        eventually(scrubbed)
        eventually(lambda: "pierhead_damaged_blobs 1.0" in httpx.get(f"{running.url}/metrics", timeout=30).text)
        metrics = httpx.get(f"{running.url}/metrics", timeout=30).text
        assert 'pierhead_damage_found_total{by="scrub",what="altered"} 1.0' in metrics
        assert "pierhead_scrub_bytes_total 0.0" not in metrics
        known = [sys.executable, "-m", "pierhead.cli.main", "check", "--status", "--data", str(running.data)]
        told = subprocess.run(known, check=False, capture_output=True, text=True, timeout=30)
        assert told.returncode == 1
        assert f"blob {digest}: other bytes than its digest says [app]\n1 damaged blobs\n" in told.stdout
        assert "a blob is damaged" in running.log.read_text()


def push(running: Running, tag: str) -> str:
    """The digest of an image without layers."""
    config = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    pushed = httpx.post(f"{running.url}/v2/app/blobs/uploads/?digest={config}", content=b"{}", timeout=30)
    assert pushed.status_code == 201
    kind = "application/vnd.oci.image.manifest.v1+json"
    descriptor = {"mediaType": "application/json", "digest": config, "size": 2}
    document = {"schemaVersion": 2, "mediaType": kind, "config": descriptor, "layers": []}
    answer = httpx.put(
        f"{running.url}/v2/app/manifests/{tag}", json=document, headers={"content-type": kind}, timeout=30
    )
    assert answer.status_code == 201
    digest: str = answer.headers["docker-content-digest"]
    return digest


def copied(data: Path, digest: str) -> bool:
    bytes_ = (data / "copies/manifests" / digest.replace(":", "/")).exists()
    return bytes_ and len(list(data.glob("copies/history/app/_/*"))) == 1


def test_manifests_are_copied_without_being_asked(tmp_path: Path) -> None:
    with serving(
        tmp_path / "data", "--workers", "1", environment={**OFTEN, "PIERHEAD_STORAGE_COPIES": "always"}
    ) as running:
        digest = push(running, "v1")
        eventually(lambda: copied(running.data, digest))

        eventually(lambda: rows(running.data, "SELECT * FROM owed_copies") == [])


def test_metrics_tell_of_jobs(running: Running) -> None:
    pierhead(running.data, "run", "uploads.expire")
    eventually(lambda: ran(running.data, "uploads.expire"))

    def shown(line: str) -> Callable[[], bool]:
        return lambda: line in httpx.get(f"{running.url}/metrics", timeout=30).text.splitlines()

    eventually(shown('pierhead_jobs_total{kind="uploads.expire",outcome="done"} 1.0'))
    eventually(shown('pierhead_jobs_unfinished{kind="uploads.expire",state="waiting"} 1.0'))
    eventually(shown("pierhead_workers 1.0"))


@contextmanager
def alone(data: Path, **settings: str) -> Iterator["subprocess.Popen[bytes]"]:
    """`pierhead worker` on the data of a server."""
    command = [sys.executable, "-m", "pierhead.cli.main", "worker", "--data", str(data), "--log-format", "json"]
    with data.with_name("worker.log").open("ab") as log:
        process = subprocess.Popen(command, env={**os.environ, **OFTEN, **settings}, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_worker_alone_does_the_jobs_of_a_server_that_does_none(tmp_path: Path) -> None:
    environment = {"PIERHEAD_JOBS_ENABLED": "false"}
    with (
        serving(tmp_path / "data", "--workers", "1", environment=environment) as running,
        alone(running.data) as worker,
    ):
        eventually(lambda: scheduled(running.data) == SCHEDULED)
        begin(running)
        write(running.data, "UPDATE uploads SET touched_at = 0")
        pierhead(running.data, "run", "uploads.expire")
        eventually(lambda: staged(running.data) == [])

        worker.send_signal(signal.SIGTERM)
        assert worker.wait(10) == 0
        assert httpx.get(f"{running.url}/readyz", timeout=30).status_code == 200


def test_a_worker_alone_and_the_command_work_on_postgresql(tmp_path: Path, at_postgresql: str) -> None:
    (tmp_path / "data").mkdir()

    def listed() -> set[str]:
        lines = pierhead(tmp_path / "data", "list", "--database", at_postgresql).splitlines()
        return {line.split()[1] for line in lines[1:]}

    with alone(tmp_path / "data", PIERHEAD_DATABASE_URL=at_postgresql) as worker:
        eventually(lambda: listed() == SCHEDULED)
        pierhead(tmp_path / "data", "run", "uploads.expire", "--database", at_postgresql)
        eventually(lambda: b'"job done"' in (tmp_path / "worker.log").read_bytes())
        worker.send_signal(signal.SIGTERM)

        assert worker.wait(10) == 0


def test_a_worker_alone_does_not_keep_a_server_out(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with alone(tmp_path / "data"), serving(tmp_path / "data", "--workers", "1") as running:
        assert httpx.get(f"{running.url}/readyz", timeout=30).status_code == 200
