"""Somebody else's server, in a process that ends with the thread that started it, however that one ends.

setpriv asks the kernel for a signal at that thread's death: pytest's main thread for a fixture.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests import components

START_SECONDS = 20
STOP_SECONDS = 20
# Made by Debian's postgresql package; for servers that refuse to run as root.
UNPRIVILEGED = "postgres"

Command = Sequence[str | Path]


@contextmanager
def scratch(server: str) -> Iterator[Path]:
    """A folder that the unprivileged user may enter, which pytest's are not."""
    with tempfile.TemporaryDirectory(prefix=f"{server}-", ignore_cleanup_errors=True) as name:
        if os.geteuid() == 0:
            shutil.chown(name, UNPRIVILEGED, UNPRIVILEGED)
        yield Path(name)


@contextmanager
def running(
    command: Command,
    folder: Path,
    answers: Callable[[], bool],
    *,
    environment: Mapping[str, str] | None = None,
    unprivileged: bool = False,
    orphaned: str = "KILL",
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:
    """The server from its first answer to the end of the block. What it says is in `folder`/log.

    `orphaned` is the signal at the death of the test process: one that takes the server's own children along.
    """
    log = folder / "log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [components.require("setpriv"), "--pdeathsig", orphaned, *_user(unprivileged=unprivileged), *command],
            cwd=folder,
            env=_environment(folder, environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        _wait(process, log, answers)
        yield process
    finally:
        end(process, stop)


def run(command: Command, folder: Path) -> None:
    """Runs to its end, as the unprivileged user, what prepares a server."""
    ran = subprocess.run(
        [components.require("setpriv"), *_user(unprivileged=True), *command],
        cwd=folder,
        env=_environment(folder, {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert ran.returncode == 0, f"{' '.join(map(str, command))}:\n{ran.stdout.decode(errors='replace')}"


def end(process: subprocess.Popen[bytes], stop: signal.Signals) -> None:
    if process.poll() is not None:
        return
    process.send_signal(stop)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


def _user(*, unprivileged: bool) -> list[str]:
    if not unprivileged or os.geteuid() != 0:
        return []
    return ["--reuid", UNPRIVILEGED, "--regid", UNPRIVILEGED, "--clear-groups"]


def _environment(folder: Path, given: Mapping[str, str]) -> dict[str, str]:
    """A home of its own, and no setting that a person may have exported: libpq's, MinIO's, a proxy's."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "LC_ALL": "C.UTF-8", **given}


def _wait(process: subprocess.Popen[bytes], log: Path, answers: Callable[[], bool]) -> None:
    ending = time.monotonic() + START_SECONDS
    while time.monotonic() < ending and process.poll() is None:
        if answers():
            return
        time.sleep(0.02)
    said = log.read_text(errors="replace")[-4000:]
    raise AssertionError(f"{process.args!r} did not start:\n{said}")
