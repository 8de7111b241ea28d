"""On real file systems that are really full; these need root, to mount them."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from pierhead.errors import StorageFull
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.sqlite.database import SqliteDatabase
from tests import components
from tests.contracts.database import names, put

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MiB."""
    if os.geteuid() != 0:
        components.missing("only root may mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "tmpfs":
        command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    else:
        image = tmp_path / "image"
        image.touch()
        os.truncate(image, 16 * MIB)
        subprocess.run([components.require("mkfs.ext4"), "-q", "-m", "0", str(image)], check=True)
        command = ["mount", "-o", "loop", str(image), str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        components.missing(f"a small disk could not be mounted: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, *, leave: int = 0) -> Path:
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (MIB, 4096):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
        os.truncate(filler, max(0, file.tell() - leave))
    os.sync()
    return filler


async def put_long(tx: Transaction, name: str) -> None:
    await put(tx, name + "x" * 100_000)


async def write_on(database: Database, prefix: str, acknowledged: list[str] | None = None) -> None:
    for number in range(1000):
        name = f"{prefix}{number:04} "
        await database.write(partial(put_long, name=name))
        if acknowledged is not None:
            acknowledged.append(name)


async def test_a_full_disk_is_told_of_and_the_writer_goes_on_once_there_is_space(disk: Path) -> None:
    async with SqliteDatabase(disk / "pierhead.db") as database:
        await database.write(partial(put, name="before"))
        filler = fill(disk)
        for number in range(3):
            with pytest.raises(StorageFull):
                await write_on(database, f"{number} ")
        assert "before" in await database.read(names)
        filler.unlink()
        await database.write(partial(put, name="after"))

        assert {"before", "after"} <= set(await database.read(names))


async def test_what_was_acknowledged_before_the_disk_was_full_is_there(disk: Path) -> None:
    acknowledged: list[str] = []
    async with SqliteDatabase(disk / "pierhead.db") as database:
        filler = fill(disk, leave=MIB)
        with pytest.raises(StorageFull):
            await write_on(database, "", acknowledged)
        filler.unlink()
    async with SqliteDatabase(disk / "pierhead.db") as database:
        assert [name.rstrip("x") for name in await database.read(names)] == acknowledged
        assert acknowledged


async def test_all_who_wait_on_a_full_disk_are_told(disk: Path) -> None:
    async with SqliteDatabase(disk / "pierhead.db") as database:
        fill(disk)
        writes = [database.write(partial(put_long, name=str(number))) for number in range(50)]
        outcomes = await asyncio.gather(*writes, return_exceptions=True)

        assert any(isinstance(outcome, StorageFull) for outcome in outcomes)
        assert {type(outcome) for outcome in outcomes} <= {StorageFull, type(None)}


async def test_a_full_disk_at_the_first_start_is_told_of(disk: Path) -> None:
    fill(disk)

    with pytest.raises(Exception, match="disk is full"):
        async with SqliteDatabase(disk / "pierhead.db"):
            pass
