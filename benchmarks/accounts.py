"""The rows of who signed in: our own figures with credentials of each kind beside our anonymous one, and /token."""

import base64
import json
import statistics
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

from benchmarks import loads, peers
from benchmarks.peers import ANONYMOUS, OURS, Running
from benchmarks.report import Figures, Line
from benchmarks.rows import Bench
from tests import components

_PASSWORD = "correct horse"  # noqa: S105  of a benchmark
_MANIFEST = "/v2/team/app/manifests/v1"
_TOKEN = "/token?service=pierhead&scope=repository:team/app:pull"  # noqa: S105  no secret
_TOKENS_GOAL = 1000  # a second


def rows(bench: Bench, folder: Path, rounds: int) -> list[Line]:
    accounts = folder / "accounts"
    subprocess.run(
        [components.require("htpasswd"), "-bcB", accounts, "admin", _PASSWORD], check=True, capture_output=True
    )
    basic = _basic("admin", _PASSWORD)
    with (
        peers.running(OURS, folder / "a") as anonymous,
        peers.running(OURS, folder / "b", None, "--htpasswd", str(accounts)) as signed,
    ):
        loads.put_image(anonymous.url, "team/app", "v1", loads.put_blob(anonymous.url, "team/app", b"x"), 1)
        with loads.signed_in(basic):
            loads.put_image(signed.url, "team/app", "v1", loads.put_blob(signed.url, "team/app", b"x"), 1)
        headers = {
            "verified htpasswd user": basic,
            "personal token as password": _basic("admin", _personal(signed)),
            "bearer token": f"Bearer {_bearer(signed, basic)}",
        }
        found: dict[str, list[float]] = {name: [] for name in (*headers, ANONYMOUS, "/token")}
        for _ in range(rounds):
            found[ANONYMOUS].append(_rate(bench, anonymous.url, _MANIFEST, ""))
            for name, header in headers.items():
                found[name].append(_rate(bench, signed.url, _MANIFEST, header))
            found["/token"].append(_rate(bench, signed.url, _TOKEN, basic))
    medians = {name: Figures(statistics.median(rates), 0, 0) for name, rates in found.items()}
    lines = [
        Line(
            f"GET manifest by tag, {name}",
            "/s",
            {ANONYMOUS: 0.85 if name == "bearer token" else 0.8},
            {OURS: medians[name], ANONYMOUS: medians[ANONYMOUS]},
        )
        for name in headers
    ]
    met = "met" if medians["/token"].median >= _TOKENS_GOAL else "**missed**"
    lines.append(
        Line("GET /token, verified user", "/s", {}, {OURS: medians["/token"]}, (f"goal {_TOKENS_GOAL:,}: {met}",))
    )
    return lines


def _basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def _personal(server: Running) -> str:
    """A personal token of the user, who has signed in by now."""
    command = [sys.executable, "-m", "pierhead.cli.main", "token", "create", "admin", "--name", "bench", "--json"]
    told = subprocess.run([*command, "--data", str(server.data / "store")], check=True, capture_output=True, text=True)
    secret: str = json.loads(told.stdout)["token"]
    return secret


def _bearer(server: Running, header: str) -> str:
    with urlopen(Request(server.url + _TOKEN, headers={"Authorization": header}), timeout=30) as answer:  # noqa: S310
        token: str = json.load(answer)["token"]
    return token


def _rate(bench: Bench, url: str, path: str, header: str) -> float:
    options = {"paths": path, "streams": 32, "seconds": bench.seconds, "auth": header}
    return loads.load(bench.program, "requests", url, **options).rate
