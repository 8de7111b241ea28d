"""Making a registry whole again, beside a server or without one."""

import hashlib
import json
import os
import random
import shutil
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest

from tests.crash.verify import inspect
from tests.moving.command import done, pierhead
from tests.moving.contents import named, served
from tests.moving.damage import files, flip
from tests.moving.loading import Load, loading
from tests.running import serving

# Several servers and a load, on a machine that may have other things to do.
pytestmark = pytest.mark.timeout(300)

SEED = 23
COPIES = {"PIERHEAD_STORAGE_COPIES": "always"}
EMPTY = f"sha256:{hashlib.sha256().hexdigest()}"
CLEAN, DAMAGED, REPAIRED = 0, 1, 3


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry that nobody serves, with a backup of it beside it."""
    data = tmp_path_factory.mktemp("filled") / "data"
    with serving(data) as server, loading(server.host, seed=SEED):
        time.sleep(2)
    done("backup", "--data", data, "--to", data.with_name("backup"))
    return data


@pytest.fixture
def backup(filled: Path) -> Path:
    return filled.with_name("backup")


@pytest.fixture
def data(filled: Path, tmp_path: Path) -> Path:
    """A registry to be damaged."""
    return shutil.copytree(filled, tmp_path / "data")


def write(data: Path, sql: str, *values: object) -> None:
    with closing(apsw.Connection(str(data / "pierhead.db"))) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(sql, values)


def rows(data: Path, sql: str) -> list[Any]:
    with closing(apsw.Connection(str(data / "pierhead.db"))) as connection:
        return connection.execute(sql).fetchall()


def told(code: int, *arguments: object) -> dict[str, Any]:
    """What a check says as JSON, with the exit code that it has to have."""
    ran = pierhead("check", "--json", *arguments)
    assert ran.returncode == code, ran.stdout + ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    assert found["code"] == code
    return found


def found(report: dict[str, Any]) -> dict[str, str]:
    """What is wrong with what."""
    return {one["what"]: one["wrong"] for one in report["findings"]}


def outcomes(report: dict[str, Any]) -> set[str]:
    return {one["outcome"] for one in report["findings"]}


def damage(data: Path, chance: random.Random) -> dict[str, str]:
    """Does something to some of all kinds of content, and tells what a check is to say of each."""
    done_to: dict[str, str] = {}
    stored = files(data)
    chosen = chance.sample(sorted(stored), 6)
    missing, cut, altered = chosen[:2], chosen[2:4], chosen[4:]
    for digest in missing:
        stored[digest].unlink()
        done_to[digest] = "missing"
    for digest in cut:
        size = stored[digest].stat().st_size
        os.truncate(stored[digest], size // 2)
        done_to[digest] = f"has {size // 2} bytes, not {size}"
    for digest in altered:
        flip(stored[digest])
        done_to[digest] = "other bytes than its digest says"
    small = chance.choice(rows(data, "SELECT digest FROM blob_contents WHERE length(content) > 1"))[0]
    write(data, "UPDATE blob_contents SET content = zeroblob(length(content)) WHERE digest = ?", small)
    manifest = chance.choice(rows(data, "SELECT digest FROM manifest_contents"))[0]
    write(data, "UPDATE manifest_contents SET content = zeroblob(length(content)) WHERE digest = ?", manifest)
    done_to[small] = done_to[manifest] = "other bytes than its digest says"
    return done_to


@pytest.mark.parametrize("seed", range(3))
def test_damage_of_each_kind_is_found_and_mended_from_a_backup(data: Path, backup: Path, seed: int) -> None:
    everything = named(data)
    done_to = damage(data, random.Random(seed))

    report = told(DAMAGED, "--data", data, "--deep")
    assert found(report) == done_to
    assert outcomes(report) == {"found"}
    mended = told(REPAIRED, "--data", data, "--deep", "--repair", "--from", backup)
    assert found(mended) == done_to
    assert outcomes(mended) == {"repaired"}
    assert told(CLEAN, "--data", data, "--deep")["findings"] == []
    with serving(data) as server:
        served(server.host, everything)


def test_what_cannot_be_mended_is_set_aside_until_it_is_pushed_again(data: Path) -> None:
    chance = random.Random(SEED)
    stored = files(data)
    contents = {digest: path.read_bytes() for digest, path in stored.items()}
    done_to = {digest: wrong for digest, wrong in damage(data, chance).items() if digest in contents}

    report = told(DAMAGED, "--data", data, "--deep", "--repair")
    again = told(DAMAGED, "--data", data)

    assert outcomes(report) == {"set aside"}
    assert {what for what in found(again) if what in contents} == set(done_to)
    held = dict(rows(data, "SELECT digest, min(name) FROM repository_blobs AS held JOIN repositories"
                           " ON repositories.id = held.repository_id GROUP BY digest"))  # fmt: skip
    with serving(data) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        for digest in done_to.keys() & held.keys():
            path = f"/v2/{held[digest]}/blobs"
            assert client.head(f"{path}/{digest}").status_code == 404
            assert client.post(f"{path}/uploads/", params={"mount": digest}).status_code == 202
            pushed = client.post(f"{path}/uploads/", params={"digest": digest}, content=contents[digest])
            assert pushed.status_code == 201
            assert client.get(f"{path}/{digest}").content == contents[digest]
    left = found(told(DAMAGED, "--data", data, "--deep"))
    assert set(left).isdisjoint(done_to.keys() & held.keys())
    assert len(done_to.keys() & held.keys()) > 3


def test_what_was_damaged_for_a_while_only_is_called_sound_again(data: Path) -> None:
    digest, file = next(iter(files(data).items()))
    flip(file)
    told(DAMAGED, "--data", data, "--deep", "--repair")
    flip(file)

    assert told(DAMAGED, "--data", data)["findings"][0]["wrong"].endswith("and is sound")
    report = told(REPAIRED, "--data", data, "--repair")

    assert [(one["what"], one["outcome"]) for one in report["findings"]] == [(digest, "sound after all")]
    assert told(CLEAN, "--data", data, "--deep")["findings"] == []


def test_small_blobs_and_manifests_are_mended_from_the_copies_in_the_store(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data, environment=COPIES) as server:
        with loading(server.host, seed=SEED):
            time.sleep(1)
        deadline = time.monotonic() + 30
        while rows(data, "SELECT 1 FROM owed_copies LIMIT 1"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    write(data, "UPDATE blob_contents SET content = zeroblob(length(content))")
    write(data, "DELETE FROM manifest_contents WHERE digest = (SELECT min(digest) FROM manifests)")
    write(data, "UPDATE manifest_contents SET content = x'7b7d'")

    report = told(REPAIRED, "--data", data, "--repair")

    assert outcomes(report) == {"repaired"}
    assert told(CLEAN, "--data", data, "--deep")["blobs"] == report["blobs"]
    with serving(data) as server:
        served(server.host, named(data))


def test_rows_that_say_different_things_are_told_and_mended(data: Path) -> None:
    needed = rows(
        data,
        """
        SELECT held.repository_id, repositories.name, manifests.digest, held.digest
          FROM repository_blobs AS held JOIN manifests ON manifests.repository_id = held.repository_id
          JOIN manifest_references AS part ON part.manifest_id = manifests.id AND part.digest = held.digest
          JOIN repositories ON repositories.id = held.repository_id
         WHERE manifests.trash_id IS NULL
         GROUP BY held.repository_id, held.digest HAVING count(*) = 1 LIMIT 1""",
    )[0]
    write(data, "DELETE FROM repository_blobs WHERE repository_id = ? AND digest = ?", needed[0], needed[3])
    repository, forgotten = rows(
        data,
        """
        SELECT name, digest FROM unreferenced_blobs AS listed JOIN repositories ON repositories.id = repository_id
         WHERE EXISTS (SELECT 1 FROM repository_blobs AS held WHERE held.repository_id = listed.repository_id
                          AND held.digest = listed.digest)
           AND NOT EXISTS (SELECT 1 FROM manifest_references JOIN manifests ON manifests.id = manifest_id
                            WHERE manifest_references.digest = listed.digest) LIMIT 1""",
    )[0]
    write(data, "DELETE FROM unreferenced_blobs WHERE digest = ?", forgotten)
    write(data, "INSERT INTO blobs (digest, size, key, created_at) VALUES (?, 0, ?, 0)", EMPTY, f"row:{EMPTY}")
    write(data, "INSERT INTO blob_contents (digest, content) VALUES (?, x'')", EMPTY)
    write(data, "INSERT INTO repository_blobs VALUES (1, 'sha256:gone', 0)")
    one = rows(data, "SELECT name FROM repositories WHERE id = 1")[0][0]

    report = told(DAMAGED, "--data", data)
    mended = told(REPAIRED, "--data", data, "--repair")

    expected = {
        (needed_by(needed), f"lacks {needed[3]}"),
        (f"{repository}@{forgotten}", "nothing needs it, and it is on no list of what may go"),
        (EMPTY, "nobody holds it, and it is on no list of what may go"),
        (f"{one}@sha256:gone", "of a blob that has no row"),
    }
    assert {(one["what"], one["wrong"]) for one in report["findings"]} == expected
    assert outcomes(mended) == {"repaired"}
    assert told(CLEAN, "--data", data)["findings"] == []


def needed_by(row: Any) -> str:
    return f"{row[1]}@{row[2]}"


def test_old_orphans_go_and_young_ones_stay(data: Path) -> None:
    file = next(iter(files(data).values()))
    old, young = (file.with_name(f"{file.name.partition('.')[0]}.{digit * 32}-0") for digit in "01")
    for orphan in (old, young):
        orphan.write_bytes(b"left")
    os.utime(old, (0, 0))
    os.utime(young, (time.time() - 2 * 3600,) * 2)

    report = told(CLEAN, "--data", data, "--repair")

    assert {one["key"]: one["removed"] for one in report["orphans"]} == {
        str(old.relative_to(data / "blobs")): True,
        str(young.relative_to(data / "blobs")): False,
    }
    assert (old.exists(), young.exists()) == (False, True)
    assert rows(data, "SELECT key FROM doomed_keys") == []
    inspect(data)


def test_an_orphan_of_a_copy_under_way_stays(data: Path) -> None:
    file = next(iter(files(data).values()))
    orphan = file.with_name(f"{file.name.partition('.')[0]}.{'0' * 32}-0")
    orphan.write_bytes(b"left")
    os.utime(orphan, (0, 0))

    write(data, "INSERT INTO holds VALUES ('copy', 0, ?)", 2**62)
    told(CLEAN, "--data", data, "--repair")
    assert orphan.exists()
    write(data, "DELETE FROM holds")
    (data / "pierhead.db.unfinished").touch()
    told(CLEAN, "--data", data, "--repair")
    assert orphan.exists()
    (data / "pierhead.db.unfinished").unlink()
    told(CLEAN, "--data", data, "--repair")
    assert not orphan.exists()


def test_beside_a_server_under_load_nothing_false_is_told(data: Path) -> None:
    with serving(data, "--workers", "2") as server:
        load = Load(server.host, clients=3, seed=SEED, first=8)
        for client in load.clients:
            # What goes along with a deleted index is more than a client writes down.
            client._doings = [doing for doing in client._doings if doing[0] != client._push_index]
        load.start()
        try:
            reports = [told(CLEAN, "--data", data, "--deep", "--repair", "--rate", "0") for _ in range(4)]
        finally:
            load.stop()
        load.settle()
        load.verify(server.host, sessions=True)

    assert [report["findings"] + report["orphans"] for report in reports] == [[], [], [], []]
    assert load.acknowledged > 100


def test_a_rate_is_kept(data: Path) -> None:
    size = sum(path.stat().st_size for path in files(data).values())
    began = time.monotonic()
    told(CLEAN, "--data", data, "--deep", "--rate", str(size // 4))

    assert time.monotonic() - began > 3


def test_what_does_not_go_together_is_refused(data: Path) -> None:
    for flags in (("--rebuild", "--repair"), ("--status", "--deep"), ("--from", data), ("--rate", "fast")):
        assert pierhead("check", "--data", data, *flags).returncode == 2
