"""A real server for tests: `pierhead serve` in processes of its own, on a free port of loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

START_SECONDS = 20


@dataclass(slots=True)
class Running:
    """A started server. `log` holds what it wrote to stderr."""

    process: subprocess.Popen[bytes]
    host: str  # with its port
    data: Path
    log: Path
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}"

    def stop(self, number: int = signal.SIGTERM, seconds: float = 60) -> int:
        """Ends the server and returns its exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def start(data: Path, *arguments: str, port: int | None = None, environment: dict[str, str] | None = None) -> Running:
    """Starts a server and waits until it answers; `arguments` are those of `pierhead serve`."""
    port = port or free_port()
    data.parent.mkdir(parents=True, exist_ok=True)
    log = data.with_name(data.name + ".log")
    command = [sys.executable, "-m", "pierhead.cli.main", "serve", "--port", str(port), "--data", str(data), *arguments]
    with log.open("ab") as stderr:
        process = subprocess.Popen(command, stderr=stderr, stdout=stderr, env=_environment(environment or {}))
    scheme = "https" if "--tls-certificate" in arguments else "http"
    running = Running(process, f"127.0.0.1:{port}", data, log, scheme)
    try:
        _wait(running)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return running


def _environment(given: dict[str, str]) -> dict[str, str]:
    """This process's, without settings that a person may have exported."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PIERHEAD_")}
    return {**inherited, **given}


def _wait(running: Running) -> None:
    ending = time.monotonic() + START_SECONDS
    while time.monotonic() < ending:
        if running.process.poll() is not None:
            break
        try:
            if httpx.get(f"{running.url}/healthz", verify=False, timeout=2).status_code == 200:  # noqa: S501  a test's own certificate
                return
        except httpx.TransportError:
            time.sleep(0.02)
    raise AssertionError(f"the server did not start:\n{running.log.read_text()[-4000:]}")


@contextmanager
def serving(data: Path, *arguments: str, environment: dict[str, str] | None = None) -> Iterator[Running]:
    """A server for the length of a block."""
    running = start(data, *arguments, environment=environment)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()
