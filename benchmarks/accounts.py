"""The row of a verified user: our own figure with an account beside our anonymous one."""

import base64
import statistics
import subprocess
from pathlib import Path

from benchmarks import loads, peers, report
from benchmarks.peers import ANONYMOUS
from benchmarks.report import Figures
from benchmarks.rows import Bench
from tests import components

_PASSWORD = "correct horse"  # noqa: S105  of a benchmark


def row(bench: Bench, folder: Path, rounds: int) -> report.Line:
    accounts = folder / "accounts"
    subprocess.run(
        [components.require("htpasswd"), "-bcB", accounts, "admin", _PASSWORD], check=True, capture_output=True
    )
    header = "Basic " + base64.b64encode(f"admin:{_PASSWORD}".encode()).decode()
    figures: dict[str, list[float]] = {peers.OURS: [], ANONYMOUS: []}
    with (
        peers.running(peers.OURS, folder / "a") as anonymous,
        peers.running(peers.OURS, folder / "b", None, "--htpasswd", str(accounts)) as signed,
    ):
        loads.put_image(anonymous.url, "team/app", "v1", loads.put_blob(anonymous.url, "team/app", b"x"), 1)
        with loads.signed_in(header):
            loads.put_image(signed.url, "team/app", "v1", loads.put_blob(signed.url, "team/app", b"x"), 1)
        for _ in range(rounds):
            figures[ANONYMOUS].append(_rate(bench, anonymous.url, ""))
            figures[peers.OURS].append(_rate(bench, signed.url, header))
    medians = {name: Figures(statistics.median(found), 0, 0) for name, found in figures.items()}
    return report.Line("GET manifest by tag, verified htpasswd user", "/s", {ANONYMOUS: 0.8}, medians)


def _rate(bench: Bench, url: str, header: str) -> float:
    options = {"paths": "/v2/team/app/manifests/v1", "streams": 32, "seconds": bench.seconds, "auth": header}
    return loads.load(bench.program, "requests", url, **options).rate
