"""A real containerd with a root, a state and an address of its own."""

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests import components

START_SECONDS = 20


@contextlib.contextmanager
def containerd() -> Iterator[str]:
    """Gives the address that `ctr --address` takes."""
    program = components.require("containerd")
    if os.geteuid() != 0:
        components.missing("containerd wants root")
    with tempfile.TemporaryDirectory(prefix="containerd-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "config.toml").write_text(_configuration(folder))
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), *components.SYSTEM_FOLDERS])
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [program, "--config", folder / "config.toml"], stdout=log, stderr=log, env=os.environ | {"PATH": path}
            )
        try:
            _wait(folder, process)
            yield str(folder / "sock")
        finally:
            process.terminate()
            process.wait(20)


def _configuration(folder: Path) -> str:
    # What Kubernetes asks (CRI) pulls as `ctr` does; the networks of pods, that it also looks for, are none.
    return f"""
version = 2
root = "{folder}/root"
state = "{folder}/state"
[grpc]
address = "{folder}/sock"
[ttrpc]
address = "{folder}/ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
stream_server_port = "0"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{folder}/cni"
conf_dir = "{folder}/cni"
"""


def _wait(folder: Path, process: subprocess.Popen[bytes]) -> None:
    ending = time.monotonic() + START_SECONDS
    while time.monotonic() < ending and process.poll() is None:
        if "containerd successfully booted" in (folder / "log").read_text(errors="replace"):
            return
        time.sleep(0.05)
    raise AssertionError(f"containerd did not start:\n{(folder / 'log').read_text(errors='replace')[-3000:]}")
