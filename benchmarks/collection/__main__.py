"""python -m benchmarks.collection: runs the rows and prints the table; `--write` keeps it in the documentation."""

import argparse
import tempfile
from pathlib import Path

from benchmarks import loads
from benchmarks.collection import files, report
from benchmarks.collection.rows import ROWS, Bench

BLOBS, UNNEEDED = 1_000_000, 50_000


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="pierhead-bench-", dir=options.directory) as name:
        folder = Path(name).resolve()
        bench = _bench(folder, options)
        files.require_space(folder, bench.blobs)
        lines = []
        for key in options.rows.split(",") if options.rows else ROWS:
            for line in ROWS[key](bench):
                lines.append(line)
                print(line, flush=True)
    table = report.table(lines, blobs=bench.blobs, rounds=bench.rounds, seconds=bench.seconds)
    print(table)
    if options.write:
        report.write(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.collection", description=__doc__)
    parser.add_argument("--rows", default="", help=f"of {', '.join(ROWS)}; all")
    parser.add_argument("--rounds", type=int, default=4, help="measurements of each, or pairs of phases")
    parser.add_argument("--blobs", type=int, default=BLOBS, help="in the registry")
    parser.add_argument("--pushes", type=float, default=100, help="small images a second, in the row `steady`")
    parser.add_argument("--pulls", type=float, default=2000, help="requests a second, in the row `steady`")
    parser.add_argument("--seconds", type=float, default=20, help="of a phase")
    parser.add_argument("--quick", action="store_true", help="small and short: to see that it runs")
    parser.add_argument("--directory", default=".", help="the disk that is measured")
    parser.add_argument("--write", action="store_true", help="keep the table in the documentation")
    return parser.parse_args()


def _bench(folder: Path, options: argparse.Namespace) -> Bench:
    program = loads.build(folder)
    if options.quick:
        return Bench(folder, program, 10_000, 500, seconds=1, rounds=2, pushes=20, pulls=200)
    unneeded = options.blobs * UNNEEDED // BLOBS
    pace = {"pushes": options.pushes, "pulls": options.pulls}
    return Bench(folder, program, options.blobs, unneeded, seconds=options.seconds, rounds=options.rounds, **pace)


if __name__ == "__main__":
    main()
