"""What an operator does on the spot, and settings under which nothing has to be waited for."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.running import Running, serving

# Twice what is promised is granted, so that it need not be written at each question.
LEASES_OVER_SECONDS = 2.2
# What nothing needs may go once its lease is over; nobody collects but who is told to.
EAGER = {
    "PIERHEAD_COLLECTION_GRACE_HOURS": "0",
    "PIERHEAD_UPLOADS_LEASE_SECONDS": "1",
    "PIERHEAD_JOBS_ENABLED": "false",
}


def started(data: Path, *arguments: str, **settings: str) -> "subprocess.Popen[str]":
    """`pierhead` with the settings of an eager server."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PIERHEAD_")}
    return subprocess.Popen(
        [sys.executable, "-m", "pierhead.cli.main", *arguments, "--data", str(data)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**inherited, **EAGER, **settings},
    )


def attempt(data: Path, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    process = started(data, *arguments, **settings)
    out, err = process.communicate(timeout=90)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def pierhead(data: Path, *arguments: str, **settings: str) -> str:
    ran = attempt(data, *arguments, **settings)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def told(data: Path, *arguments: str) -> Any:
    """What a command says as JSON."""
    return json.loads(pierhead(data, *arguments, "--json"))


def purge(data: Path, name: str) -> None:
    """All that was deleted of a repository goes for good."""
    entries = told(data, "trash", "list", name)
    assert entries, f"the trash holds nothing of {name}"
    for entry in entries:
        pierhead(data, "trash", "purge", str(entry["id"]))


def collect(data: Path, *, leases: bool = True) -> None:
    """All that may go goes; with `leases`, of what clients were told of too, once that is over."""
    if leases:
        time.sleep(LEASES_OVER_SECONDS)
    pierhead(data, "gc", "--no-rest")


@contextmanager
def eager(data: Path, *arguments: str, **settings: str) -> Iterator[Running]:
    with serving(data, "--workers", "2", *arguments, environment={**EAGER, **settings}) as running:
        yield running
