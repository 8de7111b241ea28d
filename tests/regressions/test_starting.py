"""The start, with whatever the store holds."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from tests import components
from tests.distribution.wire import push_blob
from tests.running import free_port, serving

BLOB_BYTES = 32 * 1024  # above what lies beside its row


def test_no_directory_of_blobs_is_read_by_a_start(tmp_path: Path) -> None:
    """zot#2413, #1994: a start read the whole store, three minutes for 1.3 GB."""
    data, port, out = tmp_path / "data", free_port(), tmp_path / "trace"
    with serving(data) as running, httpx.Client(base_url=running.url, timeout=30) as client:
        for _ in range(20):
            push_blob(client, "started", os.urandom(BLOB_BYTES))
    strace: list[str | Path] = [components.require("strace"), "-f", "-e", "trace=openat,open", "-o", out]
    command = [*strace, sys.executable, "-m", "pierhead.cli.main", "serve", "--port", str(port), "--data", data]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            _wait(port, process)
            httpx.get(f"http://127.0.0.1:{port}/v2/", timeout=10).raise_for_status()
            time.sleep(1)  # what the process of jobs does at its start too
        finally:
            _end(process)

    opened = out.read_text()
    assert "pierhead.db" in opened
    assert re.findall(rf'"{re.escape(str(data))}/blobs/sha256/[^"]*".*', opened) == []


def _wait(port: int, process: "subprocess.Popen[bytes]") -> None:
    ending = time.monotonic() + 30
    while time.monotonic() < ending and process.poll() is None:
        try:
            httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=2).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server did not start")


def _end(process: "subprocess.Popen[bytes]") -> None:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGTERM)
    process.wait(60)
