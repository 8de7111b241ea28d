"""python -m benchmarks.cluster: runs the rows and prints the table; `--write` keeps it in the documentation."""

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import loads
from benchmarks.cluster import fleets, report
from benchmarks.cluster.fleets import Backing, Fleet
from benchmarks.cluster.report import Figures, Line
from benchmarks.cluster.rows import BLOB, QUICK_BLOB, ROWS, Row, Sizes
from benchmarks.procfs import Watch
from tests.servers import postgresql, s3


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="pierhead-bench-", dir=options.directory) as name:
        folder = Path(name).resolve()
        folder.chmod(0o755)  # for PostgreSQL, which does not run as root
        program = loads.build(folder)
        sizes = Sizes(program, 0.5, QUICK_BLOB) if options.quick else Sizes(program, 3, BLOB)
        lines = []
        for key in options.rows.split(",") if options.rows else ROWS:
            lines.append(_measured(ROWS[key], sizes, folder, options))
            print(lines[-1], flush=True)
    table = report.table(lines, options.rounds, sizes.seconds)
    print(table)
    if options.write:
        report.write(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--rows", default="", help=f"of {', '.join(ROWS)}; all")
    parser.add_argument("--fleets", default="", help=f"of {', '.join(fleets.STARTS)}; all that are installed")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each, in turn")
    parser.add_argument("--quick", action="store_true", help="small and short: to see that it runs")
    parser.add_argument("--directory", default=".", help="the disk that is measured")
    parser.add_argument("--write", action="store_true", help="keep the table in the documentation")
    return parser.parse_args()


def _measured(row: Row, sizes: Sizes, folder: Path, options: argparse.Namespace) -> Line:
    """Each fleet in turn, and all of them again: A B C, A B C."""
    chosen = options.fleets.split(",") if options.fleets else fleets.available()
    names = [name for name in row.fleets if name in chosen]
    figures = {name: Figures() for name in names}
    with ExitStack() as stack:
        kept = {} if row.fresh else _all(names, row, sizes, folder, stack)
        for turn in range(row.rounds or options.rounds):
            for name in names:
                with _fresh(name, row, sizes, folder) if row.fresh else _kept(kept[name]) as fleet:
                    with Watch(*fleet.pids, helpers=fleet.helpers) as watch:
                        loaded = row.work(sizes, fleet, turn)
                    figures[name].add(row, loaded, watch.cost)
    return Line(row, figures)


def _all(names: list[str], row: Row, sizes: Sizes, folder: Path, stack: ExitStack) -> dict[str, Fleet]:
    """Side by side over one store; only one is at work at a time."""
    backing = stack.enter_context(_backing(folder))
    return {name: stack.enter_context(_ready(name, backing, row, sizes, folder)) for name in names}


@contextmanager
def _backing(folder: Path) -> Iterator[Backing]:
    drive = folder / "drive"
    drive.mkdir()
    try:
        with postgresql.postgresql() as database, s3.s3(drive) as store:
            yield Backing(database, store)
    finally:
        shutil.rmtree(drive)


@contextmanager
def _ready(name: str, backing: Backing, row: Row, sizes: Sizes, folder: Path) -> Iterator[Fleet]:
    own = folder / "".join(filter(str.isalnum, name))
    try:
        with fleets.fleet(name, backing, own) as fleet:
            if row.prepare:
                row.prepare(sizes, fleet)
            yield fleet
    finally:
        shutil.rmtree(own)


@contextmanager
def _fresh(name: str, row: Row, sizes: Sizes, folder: Path) -> Iterator[Fleet]:
    with _backing(folder) as backing, _ready(name, backing, row, sizes, folder) as fleet:
        yield fleet


@contextmanager
def _kept(fleet: Fleet) -> Iterator[Fleet]:
    yield fleet


if __name__ == "__main__":
    main()
