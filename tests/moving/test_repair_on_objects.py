"""Checking and repairing a registry on PostgreSQL whose bytes are objects."""

import hashlib
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pierhead import backends
from pierhead.cli.flags import read
from pierhead.metadata.unreferenced import Lease
from pierhead.moving.check import Check, How
from pierhead.moving.findings import Report
from pierhead.moving.progress import Silent
from pierhead.moving.repair import Repairs
from pierhead.moving.side import Side
from pierhead.registry.damage import Damage
from tests.moving.command import done, pierhead
from tests.running import Running, serving
from tests.servers.postgresql import Cluster, sql
from tests.servers.s3 import Bucket, Server

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

CONTENTS = [random.Random(seed).randbytes(20_000 + seed) for seed in range(8)]
DIGESTS = [f"sha256:{hashlib.sha256(content).hexdigest()}" for content in CONTENTS]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def bucket(s3: Server, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    bucket = s3.bucket()
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    return bucket


@pytest.fixture
def url(postgresql: Cluster) -> Iterator[str]:
    with postgresql.database(f"repair-{time.time_ns()}") as url:
        yield url


@pytest.fixture
def config(tmp_path: Path, url: str, bucket: Bucket) -> Path:
    path = tmp_path / "registry.toml"
    path.write_text(
        f"""
        [server]
        data = "{tmp_path / "node"}"
        [database]
        url = "{url}"
        [storage]
        url = "{bucket.url()}"
        """
    )
    return path


@pytest.fixture
def server(config: Path, tmp_path: Path) -> Iterator[Running]:
    with serving(tmp_path / "node", "--config", str(config), "--workers", "1") as running:
        with httpx.Client(base_url=running.url, timeout=30) as client:
            for digest, content in zip(DIGESTS, CONTENTS, strict=True):
                path = "/v2/team/app/blobs/uploads/"
                assert client.post(path, params={"digest": digest}, content=content).status_code == 201
        yield running


def key_of(url: str, digest: str) -> str:
    key = sql(url, f"SELECT key FROM blobs WHERE digest = '{digest}'")
    return f"team/{key}"


def told(code: int, *arguments: object) -> dict[str, Any]:
    ran = pierhead("check", "--json", *arguments)
    assert ran.returncode == code, ran.stdout + ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def test_objects_that_are_gone_cut_or_altered_are_mended_from_a_backup(
    server: Running, config: Path, url: str, bucket: Bucket, tmp_path: Path
) -> None:
    done("backup", "--config", config, "--to", tmp_path / "backup")
    missing, cut, altered = DIGESTS[:3]
    with bucket.client() as client:
        client.delete(key_of(url, missing)).raise_for_status()
        client.put(key_of(url, cut), content=b"short").raise_for_status()
        client.put(key_of(url, altered), content=bytes(len(CONTENTS[2]))).raise_for_status()

    report = told(1, "--config", config, "--deep")
    mended = told(3, "--config", config, "--deep", "--repair", "--from", tmp_path / "backup")

    expected = {
        missing: "missing",
        cut: f"has 5 bytes, not {len(CONTENTS[1])}",
        altered: "other bytes than its digest says",
    }
    assert {one["what"]: one["wrong"] for one in report["findings"]} == expected
    assert {one["what"]: one["outcome"] for one in mended["findings"]} == dict.fromkeys(expected, "repaired")
    assert told(0, "--config", config, "--deep")["findings"] == []
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for digest, content in zip(DIGESTS, CONTENTS, strict=True):
            assert client.get(f"/v2/team/app/blobs/{digest}").content == content


async def checked(config: Path) -> Report:
    """A repair that finds all orphans old."""
    settings = read(config, {}).settings
    async with backends.existing_database(settings) as database, backends.store(settings) as store:
        side = Side(database, store)
        repairs = Repairs(side, None, Damage(database, store), lease=Lease(60), copied=False)
        return await Check(side, Silent(), How(told_seconds=-60, removed_seconds=-60), repairs).run()


async def test_marks_that_are_missing_are_made_and_orphans_go_with_theirs(
    server: Running, config: Path, url: str, bucket: Bucket
) -> None:
    key = key_of(url, DIGESTS[0])
    hex_, ending = DIGESTS[0][7:], key.rpartition("/")[2]
    mark = f"team/digests/sha256/{hex_}/{ending}"
    orphan = f"team/blobs/{ending[34:36]}/{ending[:-16]}{'0' * 16}"
    of_orphan = f"team/digests/sha256/{hex_}/{orphan.rpartition('/')[2]}"
    with bucket.client() as client:
        deadline = time.monotonic() + 30
        while client.head(mark).status_code != 200:
            assert time.monotonic() < deadline
        client.delete(mark).raise_for_status()
        client.put(orphan, content=b"left").raise_for_status()
        client.put(of_orphan, content=b"").raise_for_status()

        report = await checked(config)

        assert [(f"team/{one.key}", one.removed) for one in report.orphans] == [(orphan, True)]
        assert report.findings == []
        assert client.head(mark).status_code == 200
        assert client.head(orphan).status_code == 404
        assert client.head(of_orphan).status_code == 404
    assert sql(url, "SELECT count(*) FROM doomed_keys") == "0"
    assert f"team/{sql(url, 'SELECT key FROM removed_keys')}" == orphan
