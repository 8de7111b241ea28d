"""`pierhead audit` beside a server that serves, and what becomes of pulls when that is killed."""

import csv
import io
import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.test_main import pierhead
from tests.distribution.wire import push_image
from tests.running import Running, serving

PULLS = {"PIERHEAD_AUDIT_PULLS": "all", "PIERHEAD_AUDIT_HEAD_SECONDS": "1", "PIERHEAD_JOBS_POLL_SECONDS": "0.1"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("audit")
    outside = {"PIERHEAD_AUDIT_HEADS_FILE": str(folder / "heads.jsonl"), "PIERHEAD_AUDIT_FILE": str(folder / "events")}
    with serving(folder / "data", "--workers", "2", environment={**PULLS, **outside}) as running:
        yield running


def told(server: Running, *arguments: str, code: int = 0) -> str:
    ran = pierhead("audit", *arguments, "--data", str(server.data))
    assert ran.returncode == code, (ran.stdout, ran.stderr)
    return ran.stdout


def listed(server: Running, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(told(server, "list", "--json", *arguments))["events"]
    return found


def eventually(check: Callable[[], object], seconds: float = 15) -> None:
    ending = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < ending
        time.sleep(0.1)


def test_pushes_pulls_and_deletes_are_told_by_whom_from_where_and_through_what(
    server: Running, client: httpx.Client
) -> None:
    client.headers["user-agent"] = "docker/29.1 go/1.25"
    digest = push_image(client, "told/app", "v1", "one")
    pulled = client.get("/v2/told/app/manifests/v1")
    client.head("/v2/told/app/manifests/v1")
    client.delete("/v2/told/app/manifests/v1")
    eventually(lambda: listed(server, "--repository", "told/app", "--action", "manifest.pulled"))

    found = listed(server, "--repository", "told/app")
    assert sorted(event["action"] for event in found) == sorted(
        ["blob.pushed", "manifest.pushed", "manifest.pulled", "tag.deleted"]
    )
    [pull] = [event for event in found if event["action"] == "manifest.pulled"]
    assert (pull["actor"], pull["credential"], pull["address"]) == ("anonymous", "none", "127.0.0.1")
    assert (pull["agent"], pull["tag"], pull["after"]) == ("docker/29.1 go/1.25", "v1", digest)
    assert pulled.status_code == 200
    assert [event["id"] for event in listed(server, "--request-id", pull["request_id"])] == [pull["id"]]
    assert {event["action"] for event in listed(server, "--repository", "told/app", "--until", "1h")} == set()
    lines = told(server, "list", "--repository", "told/app").splitlines()
    assert lines[0].split() == ["NUMBER", "TIME", "ACTION", "WHAT", "BY", "THROUGH", "FROM", "REASON"]
    assert f"told/app:v1@{digest[:19]}" in lines[1] + lines[2]


def test_pages_go_on_where_the_one_before_ended(server: Running, client: httpx.Client) -> None:
    for number in range(4):
        push_image(client, "pages/app", f"v{number}", str(number))
    everything = [event["id"] for event in listed(server, "--repository", "pages/app")]
    first = pierhead("audit", "list", "--repository", "pages/app", "--limit", "3", "--data", str(server.data))
    assert first.stderr.startswith("older ones: --before ")
    place = first.stderr.split()[-1]

    rest = listed(server, "--repository", "pages/app", "--before", place)
    assert [event["id"] for event in rest] == everything[3:]
    assert pierhead("audit", "list", "--before", "x", "--data", str(server.data)).returncode == 2


def test_all_is_written_out_as_csv_and_as_lines_of_json(server: Running, client: httpx.Client, tmp_path: Path) -> None:
    client.headers["user-agent"] = "=cmd"
    push_image(client, "export/app", "v1", "one")

    rows = list(csv.DictReader(io.StringIO(told(server, "export", "--repository", "export/app"))))
    assert {row["agent"] for row in rows} == {"'=cmd"}
    output = tmp_path / "events.jsonl"
    told(server, "export", "--format", "jsonl", "--repository", "export/app", "--output", str(output))
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert [line["id"] for line in lines] == [int(row["id"]) for row in rows]
    assert {line["agent"] for line in lines} == {"=cmd"}


def test_the_trail_is_proven_with_what_the_server_wrote_elsewhere(server: Running, client: httpx.Client) -> None:
    push_image(client, "proven/app", "v1", "one")
    heads, events = server.data.parent / "heads.jsonl", server.data.parent / "events"

    def sealed() -> bool:
        [last, *_] = listed(server, "--limit", "1")
        lines = heads.read_text().splitlines() if heads.exists() else []
        return bool(lines) and last["sequence"] == json.loads(lines[-1])["head"]["sequence"]

    eventually(sealed)
    found = json.loads(told(server, "verify", "--heads", str(heads), "--json"))
    assert (found["whole"], found["faults"], found["compared_with_file"]) == (True, [], True)
    assert told(server, "verify", "--heads", str(heads)).startswith("whole: ")
    eventually(lambda: len(events.read_text().splitlines()) == found["last"])
    metrics = httpx.get(f"{server.url}/metrics").text
    assert 'pierhead_audit_behind{place="file"}' in metrics
    assert "pierhead_audit_dropped_total 0.0" in metrics


def test_what_somebody_changed_in_the_database_is_told(tmp_path: Path) -> None:
    heads = tmp_path / "heads"
    with serving(
        tmp_path / "data", "--workers", "1", environment={**PULLS, "PIERHEAD_AUDIT_HEADS_FILE": str(heads)}
    ) as one:
        with httpx.Client(base_url=one.url) as client:
            push_image(client, "team/app", "v1", "one")
        eventually(heads.exists)
    with closing(sqlite3.connect(one.data / "pierhead.db")) as database:
        database.execute("UPDATE events SET actor = 'mallory' WHERE sequence = 2")
        database.commit()

    assert told(one, "verify", "--heads", str(heads), code=1).startswith("event 2 is not as it was sealed\n1 faults: ")


def test_pulls_are_told_once_and_the_trail_is_whole_after_workers_were_killed(tmp_path: Path) -> None:
    with ExitStack() as stack:
        running = stack.enter_context(serving(tmp_path / "data", "--workers", "2", environment=PULLS))
        client = stack.enter_context(httpx.Client(base_url=running.url, timeout=10))
        push_image(client, "team/app", "v1", "one")

        def pull(number: int) -> str | None:
            headers = {"user-agent": f"puller/{number}"}
            try:
                answer = client.get("/v2/team/app/manifests/v1", headers=headers)
            except httpx.TransportError:
                return None  # its worker was killed
            return headers["user-agent"] if answer.status_code == 200 else None

        with ThreadPoolExecutor(4) as threads:
            early = [agent for agent in threads.map(pull, range(200)) if agent]
            time.sleep(2.5)  # written by now
            for pid in workers(running):
                os.kill(pid, signal.SIGKILL)
            late = [agent for agent in threads.map(pull, range(200, 400)) if agent]
        eventually(lambda: set(late[-20:]) <= set(agents(running)))
        found = agents(running)
        assert len(found) == len(set(found))
        assert set(early) <= set(found) <= set(early) | {f"puller/{number}" for number in range(200, 400)}
        assert len(late) > 100
        assert json.loads(told(running, "verify", "--json"))["whole"]


def agents(server: Running) -> list[str]:
    return [event["agent"] for event in listed(server, "--action", "manifest.pulled", "--limit", "1000")]


def workers(server: Running) -> list[int]:
    """The processes that answer requests; what does background work is a child too."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return [int(pid) for pid in children]


def test_a_backup_has_the_trail_and_can_be_proven_by_the_same_heads(
    server: Running, client: httpx.Client, tmp_path: Path
) -> None:
    push_image(client, "copied/app", "v1", "one")
    heads = server.data.parent / "heads.jsonl"
    eventually(heads.exists)
    kept = tmp_path / "heads"
    kept.write_bytes(heads.read_bytes())  # of before the backup: those after it say more than that has

    ran = pierhead("backup", "--to", str(tmp_path / "copy"), "--data", str(server.data))
    assert ran.returncode == 0, ran.stderr
    found = pierhead("audit", "verify", "--data", str(tmp_path / "copy"), "--heads", str(kept), "--json")
    assert json.loads(found.stdout)["whole"], found.stdout
    assert json.loads(found.stdout)["events"] > 0
