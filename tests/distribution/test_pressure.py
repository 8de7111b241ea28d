"""Clients that hold on and do nothing, or nearly nothing: others are served, and memory stays bounded."""

import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.distribution.logs import failures
from tests.distribution.wire import Socket, descriptors, memory, push_blob, sha256, start, wait_until
from tests.running import Running, serving

MIB = 1 << 20
IDLE = 10_000


@pytest.fixture(scope="module")
def pressed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of its own, whose memory nobody else moves."""
    data: Path = tmp_path_factory.mktemp("pressed") / "data"
    with serving(data, "--workers", "2") as running:
        yield running
    assert failures(running.log) == []


def _answers_quickly(server: Running, seconds: float = 1) -> bool:
    started = time.monotonic()
    for _ in range(5):
        assert httpx.get(f"{server.url}/v2/", timeout=10).status_code == 200
    return time.monotonic() - started < 5 * seconds


@pytest.fixture
def _many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = IDLE + 2000
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"only {hard} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("_many_files")
def test_ten_thousand_idle_connections_hold_nobody_up(pressed: Running) -> None:
    before, open_before = memory(pressed), descriptors(pressed)
    host, _, port = pressed.host.rpartition(":")

    with ExitStack() as stack:
        for number in range(IDLE):
            connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=20))
            if number % 10 == 0:  # some that were served, and stay
                connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert wait_until(lambda: descriptors(pressed) >= open_before + IDLE - 50, 20)  # some of before end

        assert _answers_quickly(pressed)
        grown = memory(pressed) - before

    assert grown < IDLE * 16 * 1024, f"{grown // IDLE} bytes for each connection"
    assert wait_until(lambda: descriptors(pressed) < open_before + 100, 20)
    assert _answers_quickly(pressed)


def test_readers_of_one_byte_a_second_hold_neither_memory_nor_others(pressed: Running) -> None:
    with httpx.Client(base_url=pressed.url, timeout=60) as client:
        digest = push_blob(client, "pressed", bytes(128 * MIB))
    before = memory(pressed)

    with ExitStack() as stack:
        readers = []
        for _ in range(20):
            reader = stack.enter_context(Socket(pressed))
            reader.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            readers.append(reader.request("GET", f"/v2/pressed/blobs/{digest}"))
        for _ in range(3):
            time.sleep(1)
            assert all(len(reader.raw.recv(1)) == 1 for reader in readers)
            assert _answers_quickly(pressed)
        grown = memory(pressed) - before

    assert grown < 20 * 4 * MIB
    assert _answers_quickly(pressed)


def test_bodies_that_stop_hold_neither_memory_nor_readers(pressed: Running) -> None:
    with httpx.Client(base_url=pressed.url, timeout=60) as client:
        locations = [start(client, "pressed") for _ in range(40)]
        before, open_before = memory(pressed), descriptors(pressed)

        with ExitStack() as stack:
            for location in locations:
                connection = stack.enter_context(Socket(pressed))
                connection.request("PATCH", location, f"Content-Length: {1 << 40}", body=bytes(MIB))
            assert _answers_quickly(pressed)
            assert memory(pressed) - before < 40 * 8 * MIB
            assert (
                client.post("/v2/pressed/blobs/uploads/", params={"digest": sha256(b"x")}, content=b"x").status_code
                == 201
            )

        # They vanish, and each session stands where its bytes end.
        for location in locations:
            assert wait_until(lambda at=location: client.get(at).headers["range"] == f"0-{MIB - 1}")
            assert client.delete(location).status_code == 204
    assert wait_until(lambda: descriptors(pressed) <= open_before + 20)


def test_a_large_upload_is_not_held_in_memory(pressed: Running) -> None:
    before, peak, done = memory(pressed), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.05):
            peak = max(peak, memory(pressed))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with httpx.Client(base_url=pressed.url, timeout=60) as client:
            location = start(client, "pressed")
            assert client.patch(location, content=iter([bytes(MIB)] * 256)).status_code == 202
            assert client.delete(location).status_code == 204
    finally:
        done.set()
        watcher.join()

    assert peak - before < 96 * MIB


def test_a_reader_that_leaves_is_noticed(pressed: Running) -> None:
    with httpx.Client(base_url=pressed.url, timeout=60) as client:
        digest = push_blob(client, "pressed", bytes(128 * MIB))
    before = descriptors(pressed)

    for _ in range(20):
        with Socket(pressed) as reader:
            reader.request("GET", f"/v2/pressed/blobs/{digest}").read(1000)

    assert wait_until(lambda: descriptors(pressed) <= before + 4)


def test_half_open_requests_are_many_and_hold_nobody_up(pressed: Running) -> None:
    with ExitStack() as stack:
        for _ in range(500):
            stack.enter_context(Socket(pressed)).send(b"PUT /v2/pressed/manifests/a HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        for _ in range(200):
            stack.enter_context(Socket(pressed)).request(
                "PUT", "/v2/pressed/manifests/a", "Content-Length: 100", body=b"{"
            )

        assert _answers_quickly(pressed)
