"""From one machine to PostgreSQL and S3, and backups of both kinds of installation."""

import random
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.verify import inspect
from tests.moving.command import done, killed, pierhead
from tests.moving.contents import named, served
from tests.moving.grown import wait_until_all_are_gone
from tests.moving.loading import loading
from tests.running import Running, serving
from tests.servers.postgresql import Cluster, sql
from tests.servers.s3 import Server

# Several servers and a load, on a machine that may have other things to do.
pytestmark = pytest.mark.timeout(300)

SEED = 13
KILLS = 4


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Running]:
    with serving(tmp_path / "old", "--workers", "2") as server:
        yield server


@pytest.fixture
def config(tmp_path: Path, postgresql: Cluster, s3: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Of the registry to move to."""
    path, bucket = tmp_path / "new.toml", s3.bucket()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bucket.keys.access)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bucket.keys.secret)
    with postgresql.database(f"moving-{time.time_ns()}") as url:
        path.write_text(
            f"""
            [server]
            data = "{tmp_path / "new"}"
            [database]
            url = "{url}"
            [storage]
            url = "s3://{bucket.name}/team?endpoint={bucket.endpoint}"
            """
        )
        yield path


def test_it_moves_under_load_and_kills(
    old: Running, config: Path, tmp_path: Path, announce: Callable[[str], None]
) -> None:
    chance, kills = random.Random(SEED), 0
    with loading(old.host, clients=4, seed=SEED) as load:
        time.sleep(2)
        while kills < KILLS and killed("grow", "--data", old.data, "--to", config, chance=chance, within=2.5):
            kills += 1
        told = done("grow", "--data", old.data, "--to", config)
        wait_until_all_are_gone(load)

    with serving(tmp_path / "new", "--config", str(config)) as server:
        load.verify(server.host)
        with loading(server.host, seed=SEED, first=8) as more:
            time.sleep(1)
        assert more.acknowledged
        more.settle()
    assert done("check", "--config", config, "--deep").endswith("0 damaged or missing, 0 orphans\n")
    announce(f"grow to PostgreSQL and S3: {kills} kills, {load.acknowledged} requests acknowledged; {told.strip()}")


def test_a_backup_of_many_nodes_is_restored_on_one_machine_and_back(
    old: Running, config: Path, tmp_path: Path, announce: Callable[[str], None]
) -> None:
    backup, single = tmp_path / "backup", tmp_path / "single"
    with loading(old.host, seed=SEED) as load:
        time.sleep(1)
        done("grow", "--data", old.data, "--to", config)
        wait_until_all_are_gone(load)
    with serving(tmp_path / "new", "--config", str(config)) as server:
        with loading(server.host, seed=SEED, first=8) as more:
            time.sleep(1)
            began = time.monotonic()
            done("backup", "--config", config, "--to", backup)
            seconds = time.monotonic() - began
            inspect(backup)
        more.settle()
        done("backup", "--config", config, "--to", backup)

        everything = named(backup)
        before = served(server.host, everything)
    done("restore-backup", "--from", backup, "--data", single)
    with serving(single) as server:
        assert served(server.host, everything) == before
        load.verify(server.host)
    full = pierhead("restore-backup", "--from", backup, "--config", config)
    assert "the target holds content already" in full.stderr
    announce(f"backup of PostgreSQL and S3 under load: {len(everything)} names, {seconds:.1f} s")


def test_a_backup_of_one_machine_is_restored_to_many_nodes(old: Running, config: Path, tmp_path: Path) -> None:
    with loading(old.host, seed=SEED) as load:
        time.sleep(1)
    load.settle()
    everything = named(old.data)
    done("backup", "--data", old.data, "--to", tmp_path / "backup")

    done("restore-backup", "--from", tmp_path / "backup", "--config", config)

    with serving(tmp_path / "new", "--config", str(config)) as server:
        assert served(server.host, everything) == served(old.host, everything)


def test_a_lost_database_is_made_anew_from_the_bucket(
    old: Running, config: Path, postgresql: Cluster, tmp_path: Path
) -> None:
    """What was copied when it moved, and what was pushed after that."""
    with loading(old.host, seed=SEED) as load:
        time.sleep(1)
    load.settle()
    done("grow", "--data", old.data, "--to", config)
    url = tomllib.loads(config.read_text())["database"]["url"]
    with serving(tmp_path / "new", "--config", str(config)) as server:
        with loading(server.host, seed=SEED, first=8) as more:
            time.sleep(1)
        more.settle()
        wait_until_nothing_is_owed(url)
        everything = manifests(url)
        before = served(server.host, everything)
    with postgresql.database(f"rebuilt-{time.time_ns()}") as another:
        config.write_text(config.read_text().replace(url, another))
        said = done("check", "--config", config, "--rebuild")

        assert ": 0 failed or incomplete, " in said
        assert manifests(another) == everything
        with serving(tmp_path / "new", "--config", str(config)) as server:
            assert served(server.host, everything) == before
        assert done("check", "--config", config, "--deep").endswith("0 damaged or missing, 0 orphans\n")


def test_no_secret_is_told(old: Running, config: Path, postgresql: Cluster, tmp_path: Path) -> None:
    url = postgresql.url("none").replace("postgres@", "postgres:hunter2@")
    config.write_text(f'[server]\ndata = "{tmp_path / "new"}"\n[database]\nurl = "{url}"\n')

    ran = pierhead("grow", "--data", old.data, "--to", config)

    assert ran.returncode == 2
    assert "hunter2" not in ran.stdout + ran.stderr


def manifests(url: str) -> list[str]:
    """The paths of all manifests, by digest and by tag."""
    by_digest = (
        "SELECT name, digest FROM manifests JOIN repositories ON repositories.id = repository_id"
        " WHERE manifests.trash_id IS NULL"
    )
    by_tag = "SELECT repositories.name, tags.name FROM tags JOIN repositories ON repositories.id = repository_id"
    rows = sql(url, f"{by_digest} UNION ALL {by_tag}").splitlines()
    return sorted(f"/v2/{name}/manifests/{what}" for name, _, what in (row.partition("|") for row in rows))


def wait_until_nothing_is_owed(url: str) -> None:
    deadline = time.monotonic() + 90
    owed = "SELECT (SELECT count(*) FROM owed_copies) + (SELECT count(*) FROM owed_marks)"
    while sql(url, owed) != "0":
        assert time.monotonic() < deadline, "copies are not written"
        time.sleep(0.2)
