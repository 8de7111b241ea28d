"""What a running server asks of the kernel, in order: strace on its workers."""

import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests import components
from tests.running import Running

CALLS = "fsync,fdatasync,linkat,rename,renameat,renameat2,pwrite64,write,writev,sendto,sendmsg,unlink,unlinkat"
_LINE = re.compile(r"(\d+) +(\w+)\((.*)")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>")
_ATTACH_SECONDS = 20


@dataclass(slots=True)
class SystemCall:
    name: str
    text: str  # its arguments, as strace shows them: descriptors with their paths
    began: int  # lines of the trace
    ended: int = 0
    process: str = ""  # the worker, by its number

    @property
    def syncs(self) -> bool:
        return self.name in {"fsync", "fdatasync"}

    @property
    def names(self) -> bool:
        return self.name in {"linkat", "rename", "renameat", "renameat2"}

    @property
    def logs(self) -> bool:
        """Whether it writes to the database's log."""
        return self.name == "pwrite64" and "pierhead.db-wal>" in self.text


@dataclass(slots=True)
class Trace:
    calls: list[SystemCall] = field(default_factory=list)

    def all(self, wanted: Callable[[SystemCall], bool]) -> list[SystemCall]:
        return [call for call in self.calls if wanted(call)]

    def last(self, wanted: Callable[[SystemCall], bool]) -> SystemCall:
        return self.all(wanted)[-1]

    def answer(self, status: int) -> SystemCall:
        """Where the last answer of this status began to leave."""
        return self.last(lambda call: f"HTTP/1.1 {status}" in call.text)


@contextmanager
def tracing(server: Running, out: Path) -> Iterator[Trace]:
    """The calls of the workers while the block runs; complete after it."""
    strace = components.require("strace")
    supervisor = server.process.pid
    workers = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    command: list[str | Path] = [strace, "-f", "-y", "-s", "64", "-e", f"trace={CALLS}", "-o", out]
    for worker in workers:
        command += ["-p", worker]
    trace = Trace()
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        _wait_until_attached([int(worker) for worker in workers], process)
        try:
            yield trace
        finally:
            time.sleep(0.1)
            threads = {task.name: worker for worker in workers for task in Path(f"/proc/{worker}/task").glob("*")}
            process.send_signal(signal.SIGINT)
            process.communicate()
    trace.calls += parsed(out.read_text(), threads)


def _wait_until_attached(workers: list[int], strace: "subprocess.Popen[bytes]") -> None:
    """Until each thread of each worker is traced."""
    deadline = time.monotonic() + _ATTACH_SECONDS
    while not all(_is_traced(status) for pid in workers for status in Path(f"/proc/{pid}/task").glob("*/status")):
        if strace.poll() is not None or time.monotonic() > deadline:
            components.missing(f"strace cannot attach: {strace.stderr.read().decode() if strace.stderr else ''}")
        time.sleep(0.02)


def _is_traced(status: Path) -> bool:
    return "TracerPid:\t0\n" not in status.read_text()


def parsed(text: str, threads: dict[str, str] | None = None) -> Iterator[SystemCall]:
    unfinished: dict[tuple[str, str], SystemCall] = {}
    for number, line in enumerate(text.splitlines()):
        if resumed := _RESUMED.match(line):
            call = unfinished.pop((resumed[1], resumed[2]), None)
            if call:
                call.ended = number
        elif matched := _LINE.match(line):
            call = SystemCall(matched[2], matched[3], number, number, (threads or {}).get(matched[1], ""))
            if line.endswith("<unfinished ...>"):
                unfinished[matched[1], matched[2]] = call
            yield call
