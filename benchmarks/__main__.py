"""python -m benchmarks: runs the rows and prints the table; `--write` keeps it in docs/reference/benchmark.md."""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import accounts, loads, peers, report
from benchmarks.loads import GIB
from benchmarks.peers import Running, Tls
from benchmarks.procfs import Cost, Watch
from benchmarks.report import Figures
from benchmarks.rows import ROWS, Bench, Row
from tests import images
from tests.clients.dockerd import dockerd


def main() -> None:
    options = _options()
    if options.before:
        peers.add_before(options.before)
    with tempfile.TemporaryDirectory(prefix="pierhead-bench-", dir=options.directory) as name, ExitStack() as stack:
        folder = Path(name).resolve()
        bench = _bench(folder, stack, options)
        lines: list[report.Line] = []
        for key in options.rows.split(",") if options.rows else [*ROWS, "3"]:
            if key == "3":
                found = accounts.rows(bench, folder, options.rounds)
            else:
                found = [_row(ROWS[key], bench, folder, options, lines)]
            lines += found
            print(*found, sep="\n", flush=True)
    table = report.table(lines, bench)
    print(table)
    if options.write:
        report.write(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", default="", help=f"of {', '.join([*ROWS, '3'])}; all")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each registry, in turn")
    parser.add_argument("--peers", default="", help="names, comma-separated; all that are installed")
    parser.add_argument("--before", type=Path, help="a checkout of an earlier state, measured beside this one")
    parser.add_argument("--quick", action="store_true", help="small and short: to see that it runs")
    parser.add_argument("--directory", default=".", help="the disk that is measured")
    parser.add_argument("--write", action="store_true", help="keep the table in the documentation")
    return parser.parse_args()


def _bench(folder: Path, stack: ExitStack, options: argparse.Namespace) -> Bench:
    quick = options.quick
    environment = dict(os.environ)
    wanted = options.rows.split(",") if options.rows else list(ROWS)
    size = (4 if quick else 500) * 1_000_000 // 12
    image = folder / "image"
    if any(row.startswith("9") for row in wanted):
        images.oci_layout(image, images.random_layers(folder, [size] * 12), compressed=False)
    if {"9b", "9c"} & set(wanted):
        daemon = stack.enter_context(dockerd())
        environment["DOCKER_HOST"] = daemon.address
        archive = f"docker-archive:{folder}/image.tar:bench:latest"
        subprocess.run(["skopeo", "copy", "--insecure-policy", "-q", f"oci:{image}:latest", archive], check=True)
        subprocess.run(["docker", "load", "-q", "-i", folder / "image.tar"], check=True, env=environment)
    program = loads.build(folder)
    if quick:
        return Bench(program, image, 0.5, 16 << 20, 100, environment)
    return Bench(program, image, 3, GIB, 2000, environment)


def _row(row: Row, bench: Bench, folder: Path, options: argparse.Namespace, before: list[report.Line]) -> report.Line:
    chosen = options.peers.split(",") if options.peers else peers.available()
    wanted = [*row.peers, peers.BEFORE] if options.before else row.peers
    names = [name for name in wanted if name in peers.available() and (name in chosen or name == peers.BEFORE)]
    figures: dict[str, list[float]] = {name: [] for name in names}
    costs: dict[str, Cost] = {name: Cost() for name in names}
    tls = _certificate(folder) if row.tls else None
    with ExitStack() as stack:
        kept = {} if row.fresh else {name: stack.enter_context(_ready(row, bench, folder, name, tls)) for name in names}
        for turn in range(options.rounds):
            for name in names:
                with _ready(row, bench, folder, name, tls) if row.fresh else _as_it_is(kept[name]) as running:
                    figures[name].append(_measured(row, bench, running, turn, costs[name]))
    medians = {
        name: Figures(statistics.median(figures[name]), costs[name].cpu / options.rounds, costs[name].peak)
        for name in names
    }
    return report.Line(row.name, row.unit, row.goals, medians, tuple(_notes(row, medians[peers.OURS], before)))


def _notes(row: Row, ours: Figures, before: list[report.Line]) -> Iterator[str]:
    if row.milliseconds:
        took = 1000 / ours.median
        yield f"{took:.2f} ms (goal {row.milliseconds:g}: {_met(well=took <= row.milliseconds)})"
    if row.memory:
        peak = ours.peak / report.MIB
        yield f"{peak:.0f} MiB (goal {row.memory}: {_met(well=peak <= row.memory)})"
    for line in before:
        if row.flat_with and line.name == ROWS[row.flat_with].name:
            times = line.figures[peers.OURS].median / ours.median
            yield f"{times:.2f} x the time of 1,000 (goal 1.2: {_met(well=times <= 1.2)})"  # noqa: PLR2004  the goal


def _met(*, well: bool) -> str:
    return "met" if well else "**missed**"


def _measured(row: Row, bench: Bench, running: Running, turn: int, cost: Cost) -> float:
    with Watch(running.pid) as watch:
        figure = row.work(bench, running, turn)
    cost.cpu += watch.cost.cpu
    cost.peak = max(cost.peak, watch.cost.peak)
    return figure


@contextmanager
def _ready(row: Row, bench: Bench, folder: Path, name: str, tls: Tls | None) -> Iterator[Running]:
    with peers.running(name, folder, tls) as running:
        if row.prepare:
            row.prepare(bench, running)
        yield running


@contextmanager
def _as_it_is(running: Running) -> Iterator[Running]:
    yield running


def _certificate(folder: Path) -> Tls:
    tls = Tls(folder / "certificate.pem", folder / "key.pem")
    if not tls.key.exists():
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
        files: list[str | Path] = ["-keyout", tls.key, "-out", tls.certificate, "-days", "2"]
        command: list[str | Path] = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *files, *subject]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return tls


if __name__ == "__main__":
    if shutil.which("openssl") is None:
        sys.exit("openssl is not installed")
    main()
