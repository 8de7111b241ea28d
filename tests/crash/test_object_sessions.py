"""Upload sessions in a store of objects, over two workers and over the death of both."""

import hashlib
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from tests import running
from tests.crash.test_sessions import SETTINGS, UPLOADS, ask, sending, start_session, stop, wait_for_workers, workers
from tests.crash.wire import Wire
from tests.running import Running
from tests.servers.s3 import Bucket, Server

MIB = 1024 * 1024
CONTENT = random.Random(9).randbytes(41 * MIB + 5)
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
HALF = 21 * MIB


@pytest.fixture
def bucket(s3: Server) -> Bucket:
    return s3.bucket()


@pytest.fixture
def server(tmp_path: Path, bucket: Bucket) -> Iterator[Running]:
    server = start(tmp_path / "data", bucket)
    yield server
    if server.process.poll() is None:
        server.stop()


def start(data: Path, bucket: Bucket) -> Running:
    arguments = ("--workers", "2", "--storage", bucket.url())
    server = running.start(data, *arguments, environment={**SETTINGS, **bucket.environment})
    wait_for_workers(server)
    return server


def wait_until_parts_were_reserved(server: Running) -> None:
    deadline = time.monotonic() + 10
    connection = apsw.Connection(str(server.data / "pierhead.db"))
    connection.set_busy_timeout(5000)
    while not connection.execute("SELECT 1 FROM uploads WHERE writer IS NOT NULL AND notes IS NOT NULL").fetchall():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    connection.close()


def patched_in_time(server: Running, path: str, chunk: bytes, start: int) -> float:
    """Sends a chunk until it is taken; the seconds that it had to wait for."""
    began = time.monotonic()
    with Wire(server.host) as wire:
        while True:
            content_range = f"{start}-{start + len(chunk) - 1}"
            answer = wire.ask("PATCH", path, chunk, {"content-range": content_range})
            if answer.status != 416:
                assert (answer.status, answer.offset) == (202, start + len(chunk))
                return time.monotonic() - began
            assert answer.offset == start
            time.sleep(0.5)


def pulled(server: Running) -> bytes:
    with Wire(server.host) as wire:
        return wire.ask("GET", f"/v2/team/app/blobs/{DIGEST}").body


def test_each_chunk_may_reach_another_worker(server: Running) -> None:
    path, start = start_session(server), 0
    for position, size in enumerate([400_000, 9 * MIB, 1, 6 * MIB, 3 * MIB, 17 * MIB, 100]):
        chunk = CONTENT[start : start + size]
        answer = ask(server, position % 2, "PATCH", path, chunk, f"{start}-{start + size - 1}")
        start += size
        assert (answer.status, answer.offset) == (202, start)
        assert ask(server, (position + 1) % 2, "GET", path).offset == start
    assert ask(server, 1, "PUT", f"{path}?digest={DIGEST}", CONTENT[start:]).status == 201

    assert pulled(server) == CONTENT


def test_what_was_accepted_survives_kill_9_and_the_rest_is_sent_again(server: Running, bucket: Bucket) -> None:
    with Wire(server.host) as wire:
        path = wire.ask("POST", UPLOADS).headers["location"]
        assert wire.ask("PATCH", path, CONTENT[:HALF]).status == 202
    with sending(server, 0, path, length=len(CONTENT) - HALF) as patch:
        patch.send(CONTENT[HALF : HALF + 9 * MIB])
        wait_until_parts_were_reserved(server)
        for pid in [server.process.pid, *workers(server)]:
            os.kill(pid, signal.SIGKILL)
        server.process.wait()
    successor = start(server.data, bucket)
    try:
        with Wire(successor.host) as wire:
            assert wire.ask("GET", path).offset == HALF
            patched_in_time(successor, path, CONTENT[HALF:], HALF)
            assert wire.ask("PUT", f"{path}?digest={DIGEST}").status == 201

        assert pulled(successor) == CONTENT
    finally:
        successor.stop()


def test_a_writer_whose_worker_stands_still_is_replaced_and_changes_nothing_later(server: Running) -> None:
    path = start_session(server)
    assert ask(server, 0, "PATCH", path, CONTENT[:HALF]).status == 202
    stopped = workers(server)[0]
    with sending(server, 0, path, length=len(CONTENT)) as old:
        old.send(bytes(9 * MIB))
        wait_until_parts_were_reserved(server)
        stop(stopped)
        try:
            waited = patched_in_time(server, path, CONTENT[HALF : HALF + 9 * MIB], HALF)
        finally:
            os.kill(stopped, signal.SIGCONT)
        old.send(bytes(len(CONTENT) - 9 * MIB))
        assert old.status() == 404
    with Wire(server.host) as wire:
        assert wire.ask("PUT", f"{path}?digest={DIGEST}", CONTENT[HALF + 9 * MIB :]).status == 201

    assert 5 < waited < 20
    assert pulled(server) == CONTENT
