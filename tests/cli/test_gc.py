"""`pierhead gc` beside a running server."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.running import Running

CONTENT = b"nobody needs it" * 5000
BLOB = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


def gc(data: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "pierhead.cli.main", "gc", "--data", str(data), *arguments]
    return subprocess.run(command, check=True, timeout=60, capture_output=True, text=True).stdout


def as_json(data: Path, *arguments: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(gc(data, "--json", *arguments))
    return told


@pytest.fixture
def data(server: Running, client: httpx.Client) -> Path:
    """Of a server that has one blob which may go at once, but for the grace."""
    answer = client.post("/v2/team/app/blobs/uploads/", params={"digest": BLOB}, content=CONTENT)
    assert answer.status_code == 201
    end = "UPDATE unreferenced_blobs SET leased_until = 0"
    program = f"import apsw; apsw.Connection({str(server.data / 'pierhead.db')!r}).execute({end!r})"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    return server.data


def test_a_dry_run_tells_what_goes_and_changes_nothing(data: Path, client: httpx.Client) -> None:
    told = as_json(data, "--dry-run", "--grace-hours", "0")

    [freed] = told["freed"]
    assert (freed["digest"], freed["size"], freed["reason"]) == (BLOB, len(CONTENT), "no manifest needs it")
    assert [one["repository"] for one in freed["repositories"]] == ["team/app"]
    assert (told["blobs"], told["bytes"], told["dry_run"]) == (1, len(CONTENT), True)
    assert client.get(f"/v2/team/app/blobs/{BLOB}").content == CONTENT


def test_a_run_frees_what_the_dry_run_told(data: Path, client: httpx.Client) -> None:
    previewed = as_json(data, "--dry-run", "--grace-hours", "0")
    told = as_json(data, "--grace-hours", "0")

    assert told["freed"] == previewed["freed"]
    assert (told["blobs"], told["removed_keys"]) == (1, 1)
    assert client.get(f"/v2/team/app/blobs/{BLOB}").status_code == 404
    assert not list(data.glob(f"blobs/*/*/{BLOB[7:]}*"))


def test_within_its_grace_nothing_goes(data: Path) -> None:
    assert as_json(data)["freed"] == []
    assert gc(data).splitlines()[-1] == "0 blobs, 0 bytes freed"


def test_it_names_each_blob_and_who_let_go_of_it(data: Path) -> None:
    told = gc(data, "--grace-hours", "0", "-v")

    assert f"{BLOB}  73.2 KiB  no manifest needs it: team/app since " in told
    assert told.splitlines()[-1].startswith("1 blobs, 73.2 KiB freed")
