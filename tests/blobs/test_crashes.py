"""Writers that die, stop or compete, each in a process of its own."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pierhead.blobs.store import Locks
from pierhead.errors import UploadBusy
from pierhead.models import Upload
from tests.blobs.writer import body
from tests.contracts.blob_store import files, finish, patch, pull, session

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crashes")


@contextmanager
def writing(folder: Path, upload: Upload) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.blobs.writer", str(folder), upload.id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as writer:
        try:
            yield writer
        finally:
            writer.kill()


def accepted(upload: Upload, line: bytes) -> Upload:
    offset, state, boot = json.loads(line)
    return replace(upload, offset=offset, state=bytes.fromhex(state), boot=boot)


def next_accepted(upload: Upload, writer: subprocess.Popen[bytes]) -> Upload:
    assert writer.stdout
    return accepted(upload, writer.stdout.readline())


def sent(length: int) -> bytes:
    data = bytearray()
    for frame in body():
        data += frame
        if len(data) >= length:
            return bytes(data[:length])
    raise AssertionError


@pytest.mark.parametrize("batches", [1, 3, 7])
async def test_accepted_bytes_survive_kill_9_and_another_process_finishes_them(folder: Path, batches: int) -> None:
    upload = session()
    with writing(folder, upload) as writer:
        for _ in range(batches):
            row = next_accepted(upload, writer)
        writer.kill()

    async with files(folder) as store:
        key = await finish(store, row, b"the rest")
        whole = sent(row.offset) + b"the rest"

        assert key.split("/")[2].startswith(hashlib.sha256(whole).hexdigest())
        assert await pull(store, key) == whole


async def test_of_two_processes_one_writes(folder: Path) -> None:
    upload = session()
    with writing(folder, upload) as writer:
        row = next_accepted(upload, writer)

        async with files(folder) as store:
            with pytest.raises(UploadBusy):
                await patch(store, row, b"x")


async def test_the_lock_of_a_killed_process_is_free(folder: Path) -> None:
    upload = session()
    with writing(folder, upload) as writer:
        row = next_accepted(upload, writer)
        writer.kill()
        writer.wait()

        async with files(folder) as store:
            assert (await patch(store, row, b"x")).offset == row.offset + 1


async def test_a_stopped_writer_loses_its_session_and_cannot_harm_it_when_it_wakes(folder: Path) -> None:
    upload = session()
    with writing(folder, upload) as writer:
        row = next_accepted(upload, writer)
        os.kill(writer.pid, signal.SIGSTOP)

        async with files(folder) as store:
            with pytest.raises(UploadBusy):
                await patch(store, row, b"x")
            assert isinstance(store, Locks)
            await store.take_over(row)
            taken = replace(row, epoch=1)
            os.kill(writer.pid, signal.SIGCONT)
            # It is awake, and writes to what is its own.
            for _ in range(5):
                next_accepted(upload, writer)
            key = await finish(store, taken, b"the rest")

            assert await pull(store, key) == sent(row.offset) + b"the rest"
