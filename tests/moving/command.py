"""The command `pierhead` in a process of its own, also one that is killed half-way."""

import os
import random
import signal
import subprocess
import sys
import time

SECONDS = 90


def _started(arguments: tuple[object, ...]) -> "subprocess.Popen[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PIERHEAD_")}
    return subprocess.Popen(
        [sys.executable, "-m", "pierhead.cli.main", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean,
    )


def pierhead(*arguments: object) -> "subprocess.CompletedProcess[str]":
    """Runs it to its end."""
    process = _started(arguments)
    out, err = process.communicate(timeout=SECONDS)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def done(*arguments: object) -> str:
    """What it says when all goes well."""
    ran = pierhead(*arguments)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def killed(*arguments: object, chance: random.Random, within: float) -> bool:
    """Kills it -9 after a random time; False where it had ended by then."""
    process = _started(arguments)
    time.sleep(chance.uniform(0.2, within))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=SECONDS)
    return process.returncode == -signal.SIGKILL
