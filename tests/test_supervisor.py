"""The supervisor and its workers, as real processes around a tiny application."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from pierhead.supervisor import default_workers
from tests.running import free_port

ROOT = Path(__file__).parent.parent
PATIENCE = 15.0  # seconds, for what takes a tenth of one on an idle machine


class Started:
    """One supervisor of the tiny application."""

    def __init__(self, folder: Path, port: int, scheme: str = "http") -> None:
        self.port = port
        self.url = f"{scheme}://127.0.0.1:{port}"
        self.config = folder / f"{port}.toml"
        self.log = folder / f"{port}.log"
        self.process = self._run()

    def _run(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.tiny_server", str(self.config)],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
                stderr=log,
                stdout=log,
            )

    def answer(self) -> list[str]:
        """The pid of the worker that answered, then the setting that it was given."""
        return httpx.get(f"{self.url}/", verify=False, timeout=5).text.split()  # noqa: S501 - a test's own certificate

    def answers(self) -> bool:
        try:
            return bool(self.answer())
        except httpx.TransportError:
            return False

    def listens(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def workers(self) -> set[int]:
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False)
        return {int(pid) for pid in found.stdout.split()}

    def has_workers(self, number: int) -> bool:
        return len(self.workers()) == number

    def has_replaced(self, pid: int) -> bool:
        return self.has_workers(2) and pid not in self.workers()

    def says(self, text: str) -> bool:
        return text in self.log.read_text()


Start = Callable[..., Started]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a supervisor; `toml` is the rest of its configuration."""
    started: list[Started] = []

    def start(
        toml: str = "",
        *,
        server: str = "",
        jobs: bool = False,
        data: Path | None = None,
        scheme: str = "http",
        wait: bool = True,
    ) -> Started:
        port = free_port()
        config = f'[server]\nport = {port}\nworkers = 2\ndata = "{data or tmp_path / str(port)}"\n{server}\n'
        config += f"[jobs]\nenabled = {str(jobs).lower()}\n{toml}\n"
        (tmp_path / f"{port}.toml").write_text(config)
        one = Started(tmp_path, port, scheme)
        started.append(one)
        if wait:
            eventually(one.answers, one)
        return one

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()


def eventually(condition: Callable[[], bool], one: Started | None = None) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(one.log.read_text() if one else "it did not come to pass")
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; what waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def none_alive(pids: set[int]) -> bool:
    return not any(alive(pid) for pid in pids)


def replace(config: Path, old: str, new: str) -> None:
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))


class Download(threading.Thread):
    """Two seconds of download; `body` is what arrived, whole or not."""

    def __init__(self, one: Started) -> None:
        super().__init__()
        self._url = f"{one.url}/slow"
        self.body = b""
        self.begun = threading.Event()
        self.start()
        assert self.begun.wait(PATIENCE)

    def run(self) -> None:
        try:
            with httpx.stream("GET", self._url, timeout=PATIENCE) as response:
                for piece in response.iter_raw():
                    self.body += piece
                    self.begun.set()
        except httpx.TransportError:
            pass

    @property
    def whole(self) -> bool:
        self.join(PATIENCE)
        return self.body.endswith(b".")


def test_the_first_answer_comes_within_a_second(start: Start) -> None:
    times = []
    for _ in range(3):
        began = time.monotonic()
        start()
        times.append(time.monotonic() - began)

    assert min(times) < 1.0


def test_the_supervisor_has_one_thread_so_that_forking_is_safe(start: Start) -> None:
    one = start()

    assert len(list(Path(f"/proc/{one.process.pid}/task").iterdir())) == 1
    assert len(one.workers()) == 2


def test_it_says_where_it_serves_and_that_it_is_open(start: Start) -> None:
    one = start()

    eventually(lambda: one.says(f"serves http://127.0.0.1:{one.port}") and one.says("no accounts"), one)


def test_the_data_directory_is_for_its_owner_only(start: Start, tmp_path: Path) -> None:
    start(data=tmp_path / "deep" / "data")

    assert (tmp_path / "deep" / "data").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "deep" / "data" / "serve.lock").stat().st_mode & 0o777 == 0o600


def test_sigterm_ends_it_at_once_when_nothing_is_in_flight(start: Start) -> None:
    one = start()
    workers = one.workers()
    one.process.terminate()

    assert one.process.wait(5) == 0
    assert not any(alive(pid) for pid in workers)


def test_sigterm_at_any_moment_of_the_start_ends_it(start: Start) -> None:
    for step in range(12):
        one = start(wait=False)
        eventually(partial(one.says, "serves"), one)
        time.sleep(step * 0.002)
        one.process.terminate()

        assert one.process.wait(5) == 0


def test_a_worker_that_does_not_end_is_killed_and_that_is_told_once(start: Start) -> None:
    one = start(server="drain_seconds = 0.3")
    victim = min(one.workers())
    os.kill(victim, signal.SIGSTOP)
    one.process.terminate()

    assert one.process.wait(5) == 0
    assert one.log.read_text().count(f"worker {victim} did not end in time: killed") == 1


def test_an_idle_connection_does_not_hold_up_the_end(start: Start) -> None:
    one = start()
    with httpx.Client(base_url=one.url) as client:
        client.get("/")
        one.process.terminate()

        assert one.process.wait(5) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_transfer_in_flight_is_finished_and_a_new_connection_refused(start: Start, number: int) -> None:
    one = start()
    download = Download(one)
    one.process.send_signal(number)
    eventually(lambda: not one.answers())

    assert download.is_alive()
    assert download.whole
    assert one.process.wait(5) == 0


def test_a_transfer_that_takes_too_long_is_cut(start: Start) -> None:
    one = start(server="drain_seconds = 0.3")
    download = Download(one)
    one.process.terminate()

    assert one.process.wait(1.5) == 0
    assert not download.whole


def test_a_second_sigterm_ends_it_at_once(start: Start) -> None:
    one = start()
    download = Download(one)
    one.process.terminate()
    eventually(lambda: one.says("stopping"))
    one.process.terminate()

    assert one.process.wait(1) == 0
    assert not download.whole


def test_workers_die_with_a_killed_supervisor(start: Start) -> None:
    one = start()
    workers = one.workers()
    one.process.kill()
    one.process.wait()

    eventually(partial(none_alive, workers))
    assert not one.answers()


def test_workers_die_with_a_supervisor_that_is_killed_while_it_starts(start: Start) -> None:
    for step in range(10):
        one = start(wait=False)
        time.sleep(0.1 + step * 0.05)
        workers = one.workers()
        one.process.kill()
        one.process.wait()

        eventually(partial(none_alive, workers))
        assert not one.answers()


def test_a_killed_worker_is_replaced_however_often(start: Start) -> None:
    one = start()
    for _ in range(6):
        victim = min(one.workers())
        os.kill(victim, signal.SIGKILL)
        eventually(partial(one.has_replaced, victim), one)
        eventually(one.answers, one)

    assert one.process.poll() is None
    assert one.says("ended (signal 9): another starts")


def jobs_process(one: Started) -> set[int]:
    """The process that serves nobody, once it has had time to start."""
    eventually(partial(one.has_workers, 3), one)
    answering = {int(one.answer()[0]) for _ in range(100)}
    return one.workers() - answering


def test_jobs_have_a_process_of_their_own_that_is_replaced_and_dies_with_the_supervisor(start: Start) -> None:
    one = start(jobs=True)
    [victim] = jobs_process(one)
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: one.has_workers(3) and victim not in one.workers(), one)
    assert one.says(f"jobs process {victim} ended (signal 9): another starts")
    processes = one.workers()
    one.process.kill()
    one.process.wait()

    eventually(partial(none_alive, processes))


def test_the_process_of_jobs_ends_in_order_with_the_server(start: Start) -> None:
    one = start(jobs=True)
    eventually(partial(one.has_workers, 3), one)
    time.sleep(0.5)
    processes = one.workers()
    one.process.terminate()

    assert one.process.wait(5) == 0
    assert none_alive(processes)
    assert not one.says("killed")


def test_a_reload_replaces_the_process_of_jobs_too_and_can_end_it(start: Start) -> None:
    one = start(jobs=True)
    [before] = jobs_process(one)
    one.process.send_signal(signal.SIGHUP)
    eventually(lambda: one.has_workers(3) and before not in one.workers(), one)
    assert one.says("reloaded: 2 new workers serve")
    replace(one.config, "enabled = true", "enabled = false")
    one.process.send_signal(signal.SIGHUP)

    eventually(partial(one.has_workers, 2), one)
    assert one.answers()


def test_connections_wait_while_every_worker_is_replaced(start: Start) -> None:
    one = start()
    for pid in one.workers():
        os.kill(pid, signal.SIGKILL)

    with socket.create_connection(("127.0.0.1", one.port), timeout=PATIENCE) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


def test_a_request_waits_while_the_application_is_not_open_yet(start: Start) -> None:
    one = start('[log]\nlevel = "warning"', wait=False)
    eventually(one.listens, one)

    assert one.answer()


def test_an_application_that_cannot_start_ends_the_server(start: Start) -> None:
    one = start('[log]\nlevel = "error"', wait=False)

    assert one.process.wait(PATIENCE) == 1
    assert one.says("a worker could not start")


def test_a_second_server_on_the_same_data_is_refused_with_the_pid_of_the_first(start: Start, tmp_path: Path) -> None:
    first = start(data=tmp_path / "data")
    second = start(data=tmp_path / "data", wait=False)

    assert second.process.wait(PATIENCE) == 2
    assert second.says(f"another pierhead (pid {first.process.pid}) serves {tmp_path / 'data'}")
    assert first.answers()


def test_a_second_server_on_the_same_port_is_refused(start: Start) -> None:
    first = start()
    second = start(wait=False)
    second.process.kill()
    second.process.wait()
    replace(second.config, f"port = {second.port}", f"port = {first.port}")
    second.process = second._run()

    assert second.process.wait(PATIENCE) == 2
    assert second.says("cannot be bound: Address already in use")


def test_a_worker_that_outlives_its_supervisor_keeps_a_second_server_out(start: Start, tmp_path: Path) -> None:
    holder = subprocess.Popen(
        ["flock", "--shared", str(tmp_path / "workers.lock"), "sleep", "60"], start_new_session=True
    )
    try:
        second = start(data=tmp_path, wait=False)

        assert second.process.wait(PATIENCE) == 2
        assert second.says("workers of an earlier server still serve")
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
        holder.wait()


def test_the_next_server_starts_right_after_a_killed_one(start: Start, tmp_path: Path) -> None:
    for _ in range(3):
        one = start(data=tmp_path / "data")
        one.process.kill()
        one.process.wait()


def test_sighup_gives_new_workers_the_new_settings_and_lets_old_ones_finish(start: Start) -> None:
    one = start("[manifests]\nmax_references = 11")
    before = one.workers()
    download = Download(one)
    replace(one.config, "max_references = 11", "max_references = 12")
    one.process.send_signal(signal.SIGHUP)
    eventually(lambda: one.says("reloaded"), one)

    eventually(lambda: all(one.answer()[1] == "12" for _ in range(10)), one)
    assert download.is_alive()
    assert download.whole
    eventually(lambda: len(one.workers()) == 2 and not one.workers() & before, one)


def test_no_request_is_lost_by_reloads(start: Start) -> None:
    one = start()
    for reload in range(1, 4):
        one.process.send_signal(signal.SIGHUP)
        while one.log.read_text().count("reloaded:") < reload or not one.has_workers(2):
            assert one.answer()
    eventually(lambda: len(one.workers()) == 2, one)

    assert one.answers()


def test_a_mistake_keeps_the_old_settings_and_is_told(start: Start) -> None:
    one = start()
    before = one.workers()
    replace(one.config, "workers = 2", "workers = -2")
    one.process.send_signal(signal.SIGHUP)

    eventually(lambda: one.says("not reloaded (SIGHUP): server.workers = -2"), one)
    assert one.workers() == before
    assert one.answers()


def test_new_workers_that_cannot_start_leave_the_old_ones_serving(start: Start) -> None:
    one = start("[log]\nlevel = 'info'")
    before = one.workers()
    replace(one.config, "level = 'info'", "level = 'error'")
    one.process.send_signal(signal.SIGHUP)

    eventually(lambda: one.says("not reloaded: a new worker could not start"), one)
    eventually(lambda: one.workers() == before, one)
    assert one.answers()

    os.kill(min(before), signal.SIGKILL)
    eventually(lambda: len(one.workers()) == 2 and one.workers() != before, one)
    assert one.answers()


def test_what_needs_a_restart_is_told_and_left(start: Start) -> None:
    one = start()
    replace(one.config, f"port = {one.port}", "port = 1")
    one.process.send_signal(signal.SIGHUP)

    eventually(lambda: one.says("server.port changes with a restart only") and one.says("reloaded"), one)
    assert one.answers()


def test_another_database_or_store_needs_a_restart(start: Start, tmp_path: Path) -> None:
    one = start()
    other = tmp_path / "other"
    with one.config.open("a") as config:
        config.write(f'[storage]\nurl = "file://{other}"\n[database]\nurl = "postgresql://nobody@127.0.0.1:1/none"\n')
    one.process.send_signal(signal.SIGHUP)

    eventually(lambda: one.says("storage.url changes with a restart only") and one.says("reloaded"), one)
    assert one.says("database.url changes with a restart only")
    assert one.answers()
    assert not other.exists()


def test_the_number_of_workers_can_change(start: Start) -> None:
    one = start()
    for number in (1, 3):
        replace(one.config, f"workers = {len(one.workers())}", f"workers = {number}")
        one.process.send_signal(signal.SIGHUP)
        eventually(partial(one.has_workers, number), one)

    assert one.answers()


def certificate(folder: Path, name: str) -> None:
    """As a renewal writes it: both files replaced."""
    subject = f"/CN={name}"
    files = ["-keyout", str(folder / "new.key"), "-out", str(folder / "new.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", subject, *files],
        check=True,
        capture_output=True,
    )
    (folder / "new.key").rename(folder / "tls.key")
    (folder / "new.pem").rename(folder / "tls.pem")


def shown(one: Started) -> bytes:
    """The certificate that the server shows."""
    return ssl.get_server_certificate(("127.0.0.1", one.port), timeout=5).encode()


@pytest.fixture
def over_tls(start: Start, tmp_path: Path) -> Started:
    certificate(tmp_path, "first")
    files = f'tls_certificate = "{tmp_path / "tls.pem"}"\ntls_key = "{tmp_path / "tls.key"}"'
    return start(server=files, scheme="https")


def test_a_new_certificate_is_shown_without_a_restart(over_tls: Started, tmp_path: Path) -> None:
    first = shown(over_tls)
    certificate(tmp_path, "second")
    eventually(lambda: shown(over_tls) != first, over_tls)

    eventually(lambda: all(shown(over_tls) == (tmp_path / "tls.pem").read_bytes() for _ in range(10)), over_tls)
    assert over_tls.process.poll() is None


def test_a_broken_certificate_is_told_and_the_old_one_stays(over_tls: Started, tmp_path: Path) -> None:
    first = shown(over_tls)
    (tmp_path / "tls.pem").write_text("no certificate")

    eventually(lambda: over_tls.says("not reloaded (the certificate changed)"), over_tls)
    assert shown(over_tls) == first


def test_http_2_is_spoken_over_tls_and_its_authority_is_the_host(over_tls: Started) -> None:
    command = ["curl", "-sk", "--http2", "-w", " %{http_version}", f"{over_tls.url}/"]

    _, _, host, version = subprocess.check_output(command, text=True).split()

    assert (host, version) == (f"127.0.0.1:{over_tls.port}", "2")


def test_there_is_a_worker_for_each_processor_up_to_four() -> None:
    assert default_workers() == min(4, len(os.sched_getaffinity(0)))
