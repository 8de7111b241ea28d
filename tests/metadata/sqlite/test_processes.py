import json
import subprocess
import sys
from pathlib import Path

from pierhead.metadata.sqlite import engine
from tests.contracts.database import ROOT

WRITERS = 4
SECONDS = 3.0


def test_processes_that_write_all_the_time_get_equal_shares_and_none_waits_long(tmp_path: Path) -> None:
    engine.prepare(tmp_path / "pierhead.db")
    command = [sys.executable, "-m", "tests.metadata.sqlite.writer_process", str(tmp_path)]
    processes = [
        subprocess.Popen(
            [*command, str(n), str(SECONDS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        for n in range(WRITERS)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    # Only now, so that all are there from the first moment on.
    _release(processes)
    told = [process.communicate(timeout=60)[0] for process in processes]
    results = [json.loads(text) for text in told]

    writes = [result["writes"] for result in results]
    assert min(writes) > 0
    assert max(writes) <= 2 * min(writes), writes
    assert max(result["longest"] for result in results) < 1.5, results
    assert all(process.returncode == 0 for process in processes)


def _release(processes: list["subprocess.Popen[str]"]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
