"""Comparing the rows of a registry with its bytes."""

import os
import shutil
import time
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from tests.moving.command import done, pierhead
from tests.moving.damage import a_blob, flip
from tests.moving.loading import loading
from tests.running import serving

SEED = 14


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("filled") / "data"
    with serving(data) as server, loading(server.host, seed=SEED):
        time.sleep(1)
    return data


@pytest.fixture
def data(filled: Path, tmp_path: Path) -> Path:
    """A registry to be damaged."""
    return shutil.copytree(filled, tmp_path / "data")


def test_a_whole_registry_is_whole_while_it_serves(data: Path) -> None:
    with serving(data) as server, loading(server.host, seed=SEED, first=8):
        time.sleep(0.5)
        said = done("check", "--data", data, "--deep")

    assert said.endswith(": 0 damaged or missing, 0 orphans\n")
    assert not said.startswith("0 manifests")


def test_a_missing_blob_is_told(data: Path) -> None:
    file, digest = a_blob(data)
    file.unlink()

    assert faults(data) == [f"blob {digest}: missing"]


def test_a_truncated_blob_is_told(data: Path) -> None:
    file, digest = a_blob(data)
    size = file.stat().st_size
    os.truncate(file, size - 1)

    assert faults(data) == [f"blob {digest}: has {size - 1} bytes, not {size}"]


def test_a_flipped_bit_is_told_when_it_is_read(data: Path) -> None:
    file, digest = a_blob(data)
    flip(file)

    assert done("check", "--data", data)
    assert faults(data, "--deep") == [f"blob {digest}: other bytes than its digest says"]


def test_damage_in_the_database_is_told(data: Path) -> None:
    with closing(apsw.Connection(str(data / "pierhead.db"))) as connection:
        manifest = connection.execute("SELECT digest FROM manifest_contents LIMIT 1").get
        blob, size = connection.execute("SELECT digest, length(content) FROM blob_contents LIMIT 1").fetchall()[0]
        connection.execute("UPDATE manifest_contents SET content = x'7b7d' WHERE digest = ?", (manifest,))
        connection.execute("UPDATE blob_contents SET content = zeroblob(?) WHERE digest = ?", (size, blob))

    assert faults(data) == [
        f"manifest {manifest}: other bytes than its digest says",
        f"blob {blob}: other bytes than its digest says",
    ]


def test_an_orphan_is_told_and_is_no_damage(data: Path) -> None:
    file, _ = a_blob(data)
    orphan = file.with_name(f"{file.name.partition('.')[0]}.{'0' * 32}-0")
    orphan.write_bytes(b"left")

    young = done("check", "--data", data)
    os.utime(orphan, (0, 0))
    old = done("check", "--data", data)

    assert young.endswith("0 damaged or missing, 0 orphans\n")
    assert old.splitlines()[0] == f"orphan {orphan.relative_to(data / 'blobs')}: 4 bytes, no row names it"
    assert old.endswith("0 damaged or missing, 1 orphans\n")


def faults(data: Path, *flags: str) -> list[str]:
    """Without who holds it."""
    ran = pierhead("check", "--data", data, *flags)
    assert ran.returncode == 1
    *lines, summary = ran.stdout.splitlines()
    assert f"{len(lines)} damaged or missing" in summary
    return [line.partition(" [")[0] for line in lines]
