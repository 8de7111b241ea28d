"""A real dockerd, private in all it has: data, sockets, networks (none), certificates.

It runs in a mount namespace of its own in which /etc/docker is one of the test's folders,
since that is the one place where it looks for certificates.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests import components

START_SECONDS = 30
STOP_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Dockerd:
    folder: Path

    @property
    def address(self) -> str:
        return f"unix://{self.folder}/docker.sock"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def trust(self, host: str, certificate: Path) -> None:
        """Makes the daemon believe what `certificate` signs for the registry at `host`."""
        folder = self.folder / "etc/certs.d" / host
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(certificate, folder / "ca.crt")

    def distrust(self, host: str) -> None:
        shutil.rmtree(self.folder / "etc/certs.d" / host, ignore_errors=True)


@contextlib.contextmanager
def dockerd() -> Iterator[Dockerd]:
    program = components.require("dockerd")
    if os.geteuid() != 0:
        components.missing("dockerd wants root")
    # Not pytest's folder: a socket's path has room for 107 characters.
    with tempfile.TemporaryDirectory(prefix="dockerd-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "etc").mkdir()
        Path("/etc/docker").mkdir(exist_ok=True)  # the place to mount on; dockerd would make it too
        daemon = Dockerd(folder)
        with daemon.log.open("wb") as log:
            process = subprocess.Popen(_command(program, folder), stdout=log, stderr=log, env=_environment())
        try:
            _wait(daemon, process)
            yield daemon
        finally:
            _end(process)


def _command(program: Path, folder: Path) -> list[str | Path]:
    script = f'mount --bind {folder}/etc /etc/docker && exec "$0" "$@"'
    return [
        *("unshare", "--mount", "sh", "-c", script, program),
        *("--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver=vfs"),
        *("--data-root", folder / "data", "--exec-root", folder / "exec", "--pidfile", folder / "pid"),
        *("--host", f"unix://{folder}/docker.sock"),
    ]


def _environment() -> dict[str, str]:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *components.SYSTEM_FOLDERS])
    return os.environ | {"PATH": path, "NO_PROXY": "*"}


def _wait(daemon: Dockerd, process: subprocess.Popen[bytes]) -> None:
    ending = time.monotonic() + START_SECONDS
    while time.monotonic() < ending and process.poll() is None:
        if "API listen on" in daemon.log.read_text(errors="replace"):
            return
        time.sleep(0.1)
    said = daemon.log.read_text(errors="replace")[-3000:]
    raise AssertionError(f"dockerd did not start:\n{said}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
