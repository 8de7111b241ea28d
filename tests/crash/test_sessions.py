"""Upload sessions over two workers, and over the death of both.

The workers share one listening socket, so a stopped worker leaves a new connection to the other one.
"""

import hashlib
import os
import random
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from tests import running
from tests.crash.wire import Answer, Wire
from tests.running import Running, serving

MIB = 1024 * 1024
CONTENT = random.Random(5).randbytes(3 * MIB + 11)
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
SETTINGS = {"PIERHEAD_UPLOADS_TAKEOVER_SECONDS": "10"}
UPLOADS = "/v2/team/app/blobs/uploads/"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with serving(tmp_path / "data", "--workers", "2", environment=SETTINGS) as running:
        wait_for_workers(running)
        yield running


def workers(server: Running) -> list[int]:
    pid = server.process.pid
    return sorted(int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def wait_for_workers(server: Running) -> None:
    """Until both are past their start: one that is stopped in it may hold the database."""
    deadline = time.monotonic() + 10
    while len(workers(server)) < 2 or not all(map(is_idle, workers(server))):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_idle(pid: int) -> bool:
    """Whether a worker has its database open and every thread of it sleeps."""
    try:
        opened = {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}
    except FileNotFoundError:  # one was closed meanwhile
        return False
    return any(name.endswith("write-now.lock") for name in opened) and states(pid) == {"S"}


def states(pid: int) -> set[str]:
    """Of its threads: S sleeps, T is stopped."""
    found = Path(f"/proc/{pid}/task").glob("*/stat")
    return {path.read_text().rpartition(")")[2].split()[0] for path in found}


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    while states(pid) != {"T"}:
        time.sleep(0.001)


@contextmanager
def only(server: Running, number: int) -> Iterator[None]:
    """Connections made in this block reach worker `number`."""
    others = [pid for position, pid in enumerate(workers(server)) if position != number]
    for pid in others:
        stop(pid)
    try:
        yield
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)


def ask(  # noqa: PLR0917  as one reads it: this worker, this request
    server: Running, number: int, method: str, path: str, body: bytes = b"", content_range: str = ""
) -> Answer:
    headers = {"content-range": content_range} if content_range else {}
    with only(server, number), Wire(server.host) as wire:
        return wire.ask(method, path, body, headers)


def start_session(server: Running) -> str:
    return ask(server, 0, "POST", UPLOADS).headers["location"]


class Sending:
    """A PATCH whose body is sent bit by bit to one worker."""

    def __init__(self, server: Running, number: int, path: str, *, length: int, content_range: str = "") -> None:
        extra = f"Content-Range: {content_range}\r\n" if content_range else ""
        with only(server, number):
            self._socket = socket.create_connection(server.host.split(":"), timeout=20)  # type: ignore[arg-type]  # the port may be text
            self._socket.sendall(
                f"PATCH {path} HTTP/1.1\r\nHost: {server.host}\r\nContent-Length: {length}\r\n{extra}\r\n".encode()
            )
            time.sleep(0.05)

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def status(self) -> int:
        """Of the answer; 0 where the connection was cut."""
        try:
            line = self._socket.recv(4096)
        except ConnectionError:
            line = b""
        return int(line.split()[1]) if line else 0

    def close(self) -> None:
        self._socket.close()


@contextmanager
def sending(server: Running, number: int, path: str, *, length: int, content_range: str = "") -> Iterator[Sending]:
    patch = Sending(server, number, path, length=length, content_range=content_range)
    try:
        yield patch
    finally:
        patch.close()


def pulled(server: Running) -> bytes:
    return ask(server, 0, "GET", f"/v2/team/app/blobs/{DIGEST}").body


def staged(server: Running) -> list[Path]:
    return list(server.data.glob("uploads/*/*"))


def wait_until_staged(server: Running, size: int) -> None:
    deadline = time.monotonic() + 10
    while not any(path.stat().st_size >= size for path in staged(server)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def age(server: Running, seconds: float) -> None:
    connection = apsw.Connection(str(server.data / "pierhead.db"))
    connection.set_busy_timeout(5000)
    connection.execute("UPDATE uploads SET touched_at = touched_at - :age", {"age": int(seconds * 1_000_000)})
    connection.close()


def test_each_chunk_may_reach_another_worker(server: Running) -> None:
    path, size = start_session(server), 400_000
    for position, start in enumerate(range(0, len(CONTENT), size)):
        chunk = CONTENT[start : start + size]
        answer = ask(server, position % 2, "PATCH", path, chunk, f"{start}-{start + len(chunk) - 1}")
        assert (answer.status, answer.offset) == (202, start + len(chunk))
        assert ask(server, (position + 1) % 2, "GET", path).offset == start + len(chunk)
    assert ask(server, 1, "PUT", f"{path}?digest={DIGEST}").status == 201

    assert pulled(server) == CONTENT
    assert staged(server) == []


def test_a_put_repeated_to_another_worker_is_answered_201(server: Running) -> None:
    path = start_session(server)
    answers = [ask(server, number, "PUT", f"{path}?digest={DIGEST}", CONTENT).status for number in (0, 1, 0)]

    assert answers == [201, 201, 201]
    assert pulled(server) == CONTENT


def test_a_chunk_out_of_order_is_told_where_the_session_stands(server: Running) -> None:
    path = start_session(server)
    assert ask(server, 0, "PATCH", path, CONTENT[:100], "0-99").status == 202
    for start, end in ((0, 99), (101, 199), (50, 149)):
        refused = ask(server, 1, "PATCH", path, CONTENT[start : end + 1], f"{start}-{end}")
        assert (refused.status, refused.offset, refused.headers["location"]) == (416, 100, path)
    answer = ask(server, 1, "PUT", f"{path}?digest={DIGEST}", CONTENT[100:], f"100-{len(CONTENT) - 1}")

    assert answer.status == 201
    assert pulled(server) == CONTENT


def test_a_session_goes_on_after_kill_9_of_everything_between_chunks(tmp_path: Path) -> None:
    server = running.start(tmp_path / "data", "--workers", "2")
    with Wire(server.host) as wire:
        path, start, size = wire.ask("POST", UPLOADS).headers["location"], 0, len(CONTENT) // 3
    for _ in range(3):
        with Wire(server.host) as wire:
            answer = wire.ask("PATCH", path, CONTENT[start : start + size])
            start += size
            assert (answer.status, answer.offset) == (202, start)
        server = killed_and_started(server)
        with Wire(server.host) as wire:
            assert wire.ask("GET", path).offset == start
    with Wire(server.host) as wire:
        assert wire.ask("PUT", f"{path}?digest={DIGEST}", CONTENT[start:]).status == 201
    server = killed_and_started(server)
    with Wire(server.host) as wire:
        repeated = wire.ask("PUT", f"{path}?digest={DIGEST}", CONTENT[start:])
        assert repeated.status == 201
        assert wire.ask("GET", f"/v2/team/app/blobs/{DIGEST}").body == CONTENT
    assert server.stop() == 0


@pytest.mark.parametrize("chunked", [True, False], ids=["a chunk", "a stream"])
def test_what_was_not_acknowledged_before_kill_9_is_sent_again(tmp_path: Path, chunked: bool) -> None:
    server = running.start(tmp_path / "data", "--workers", "1")
    with Wire(server.host) as wire:
        path = wire.ask("POST", UPLOADS).headers["location"]
        wire.ask("PATCH", path, CONTENT[:1000])
    length = len(CONTENT) - 1000
    content_range = f"1000-{len(CONTENT) - 1}" if chunked else ""
    with sending(server, 0, path, length=length, content_range=content_range) as patch:
        patch.send(CONTENT[1000 : 2 * MIB])
        wait_until_staged(server, MIB)
        server = killed_and_started(server)
    with Wire(server.host) as wire:
        assert wire.ask("GET", path).offset == 1000
        assert wire.ask("PATCH", path, CONTENT[1000:], {"content-range": f"1000-{len(CONTENT) - 1}"}).status == 202
        assert wire.ask("PUT", f"{path}?digest={DIGEST}").status == 201
        assert wire.ask("GET", f"/v2/team/app/blobs/{DIGEST}").body == CONTENT
    assert server.stop() == 0


def killed_and_started(server: Running) -> Running:
    for pid in [server.process.pid, *workers(server)]:
        os.kill(pid, signal.SIGKILL)
    server.process.wait()
    return running.start(server.data, "--workers", "2")


def test_a_second_request_is_told_to_wait_while_the_first_writes(server: Running) -> None:
    path = start_session(server)
    with sending(server, 0, path, length=len(CONTENT)) as first:
        first.send(CONTENT[: 2 * MIB])
        wait_until_staged(server, MIB)
        for method, suffix in (("PATCH", ""), ("PUT", f"?digest={DIGEST}")):
            second = ask(server, 1, method, path + suffix, CONTENT)
            assert (second.status, second.offset, second.headers["location"]) == (416, 0, path)
            assert int(second.headers["retry-after"]) >= 1
        first.send(CONTENT[2 * MIB :])
        assert first.status() == 202

    assert ask(server, 1, "PUT", f"{path}?digest={DIGEST}").status == 201
    assert pulled(server) == CONTENT


def test_a_writer_that_has_just_begun_is_not_taken_over_though_its_session_is_old(server: Running) -> None:
    path = start_session(server)
    age(server, 3600)
    with sending(server, 0, path, length=len(CONTENT)) as first:
        first.send(CONTENT[: 2 * MIB])
        wait_until_staged(server, MIB)
        assert ask(server, 1, "PATCH", path, b"other").status == 416
        first.send(CONTENT[2 * MIB :])
        assert first.status() == 202

    assert ask(server, 1, "PUT", f"{path}?digest={DIGEST}").status == 201


def test_a_writer_whose_worker_stands_still_is_replaced_in_time_and_changes_nothing_later(server: Running) -> None:
    path = start_session(server)
    assert ask(server, 0, "PATCH", path, CONTENT[:1000]).status == 202
    stopped = workers(server)[0]
    with sending(server, 0, path, length=len(CONTENT)) as old:
        old.send(bytes(2 * MIB))
        wait_until_staged(server, MIB)
        began = time.monotonic()
        stop(stopped)
        try:
            with Wire(server.host) as wire:
                statuses: list[int] = []
                while not statuses or statuses[-1] == 416:
                    answer = wire.ask("PATCH", path, CONTENT[1000:2000], {"content-range": "1000-1999"})
                    statuses.append(answer.status)
                    assert answer.offset == (1000 if answer.status == 416 else 2000)
                    time.sleep(0.2)
                seconds = time.monotonic() - began
                assert wire.ask("PUT", f"{path}?digest={DIGEST}", CONTENT[2000:]).status == 201
        finally:
            os.kill(stopped, signal.SIGCONT)
        old.send(bytes(len(CONTENT) - 2 * MIB))
        assert old.status() == 404

    assert statuses[-1] == 202
    assert 8 < seconds < 20
    assert pulled(server) == CONTENT
    assert staged(server) == []


def test_a_session_cancelled_at_another_worker_ends_its_writer_and_leaves_nothing(server: Running) -> None:
    path = start_session(server)
    with sending(server, 0, path, length=len(CONTENT)) as writer:
        writer.send(CONTENT[: 2 * MIB])
        wait_until_staged(server, MIB)
        assert ask(server, 1, "DELETE", path).status == 204
        writer.send(CONTENT[2 * MIB :])
        assert writer.status() == 404

    assert ask(server, 1, "GET", path).status == 404
    assert staged(server) == []
