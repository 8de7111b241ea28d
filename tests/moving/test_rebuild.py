"""A registry whose database is lost, made anew from its store."""

import shutil
import time
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from tests.crash.verify import inspect
from tests.moving.command import done, pierhead
from tests.moving.contents import named, served
from tests.moving.damage import a_blob, flip
from tests.moving.loading import loading
from tests.running import Running, serving

# Several servers and a load, on a machine that may have other things to do.
pytestmark = pytest.mark.timeout(300)

SEED = 15
COPIES = {"PIERHEAD_STORAGE_COPIES": "always"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A registry that nobody serves, all of whose copies are in its store."""
    with serving(tmp_path / "data", environment=COPIES) as server:
        with loading(server.host, seed=SEED):
            time.sleep(1)
        wait_until_nothing_is_owed(server)
    return tmp_path / "data"


def test_it_is_what_it_was(data: Path) -> None:
    everything, tags = named(data), tagged(data)
    with serving(data) as server:
        before = served(server.host, everything)
    lose_the_database(data)

    said = done("check", "--data", data, "--rebuild")

    assert said.endswith(": 0 failed or incomplete, 0 unmarked objects\n")
    assert tagged(data) == tags
    # Blobs that no manifest needs are there, but nobody knows any more whose they are.
    kept = named(data)
    assert [path for path in everything if "/manifests/" in path] == [path for path in kept if "/manifests/" in path]
    with serving(data) as server:
        assert served(server.host, kept) == {path: before[path] for path in kept}
    inspect(data)
    # What nobody knows any more whose it is can be collected.
    assert done("check", "--data", data, "--deep").endswith(": 0 damaged or missing, 0 orphans\n")


def test_what_is_lost_is_told(data: Path) -> None:
    file, digest = a_needed_blob(data)
    repository, _, lost = tagged(data)[0]
    flip(file)
    (data / "copies/manifests/sha256" / lost.partition(":")[2]).unlink()
    lose_the_database(data)

    ran = pierhead("check", "--data", data, "--rebuild", "--deep")

    assert ran.returncode == 1
    assert f"{file.relative_to(data / 'blobs')}: other bytes than its digest says" in ran.stdout
    assert ": 0 failed or incomplete" not in ran.stdout
    assert digest in ran.stdout
    assert f"{repository}@{lost}: " in ran.stdout


def test_bytes_that_are_there_twice_are_one_blob(data: Path) -> None:
    file, _ = a_blob(data)
    shutil.copy(file, file.with_name(f"{file.name.partition('.')[0]}.{'0' * 32}-0"))
    lose_the_database(data)

    said = done("check", "--data", data, "--rebuild")

    with closing(apsw.Connection(str(data / "pierhead.db"))) as connection:
        blobs = connection.execute("SELECT count(*) FROM blobs").get
    assert said.startswith(f"{blobs} blobs, ")


def test_a_store_without_copies_is_no_database(data: Path, tmp_path: Path) -> None:
    """What is left untouched can still be restored from a backup."""
    done("backup", "--data", data, "--to", tmp_path / "backup")
    lose_the_database(data)
    shutil.rmtree(data / "copies")

    ran = pierhead("check", "--data", data, "--rebuild")

    assert ran.returncode == 2
    assert "the store has no copies" in ran.stderr
    done("restore-backup", "--from", tmp_path / "backup", "--data", data)


def test_a_database_that_is_not_lost_is_left_alone(data: Path) -> None:
    ran = pierhead("check", "--data", data, "--rebuild")

    assert ran.returncode == 2
    assert "the target holds content already" in ran.stderr


def test_a_backup_restored_to_a_store_that_keeps_copies_is_copied(data: Path, tmp_path: Path) -> None:
    restored = tmp_path / "restored"
    done("backup", "--data", data, "--to", tmp_path / "backup")
    config = tmp_path / "restored.toml"
    config.write_text(f'[server]\ndata = "{restored}"\n[storage]\ncopies = "always"\n')
    done("restore-backup", "--from", tmp_path / "backup", "--config", config)
    everything = tagged(restored)
    with serving(restored, environment=COPIES) as server:
        wait_until_nothing_is_owed(server)
    lose_the_database(restored)

    done("check", "--data", restored, "--rebuild")

    assert tagged(restored) == everything


def a_needed_blob(data: Path) -> tuple[Path, str]:
    """A file that a manifest is not whole without, and its digest."""
    with closing(apsw.Connection(str(data / "pierhead.db"))) as connection:
        key, digest = connection.execute(
            "SELECT key, blobs.digest FROM blobs JOIN manifest_references USING (digest)"
            " JOIN manifests ON manifests.id = manifest_id WHERE key NOT LIKE 'row:%' AND trash_id IS NULL LIMIT 1"
        ).get
    return data / "blobs" / key, str(digest)


def lose_the_database(data: Path) -> None:
    for file in data.glob("pierhead.db*"):
        file.unlink()


def wait_until_nothing_is_owed(server: Running) -> None:
    deadline = time.monotonic() + 60
    with closing(apsw.Connection(str(server.data / "pierhead.db"))) as connection:
        while connection.execute("SELECT count(*) FROM owed_copies").get:
            assert time.monotonic() < deadline, "copies are not written"
            time.sleep(0.1)


def tagged(data: Path) -> list[tuple[str, str, str]]:
    with closing(apsw.Connection(str(data / "pierhead.db"))) as connection:
        found = connection.execute(
            """
            SELECT repositories.name, tags.name, manifests.digest
              FROM tags JOIN manifests ON manifests.id = tags.manifest_id
                        JOIN repositories ON repositories.id = tags.repository_id
             ORDER BY 1, 2
            """
        )
        return [(str(name), str(tag), str(digest)) for name, tag, digest in found]
