"""What programs did to the files under one directory, and when they answered whom: strace, read into operations."""

import os
import re
import shlex
import subprocess
import sys
from codecs import escape_decode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests import components
from tests.crash.states.disk import NEVER, Directory, Forget, Name, Operation, Rename, Sync, Truncate, Write

_LINE = re.compile(r"(\d+) +(?:<\.\.\. )?(\w+)(?: resumed>|\()(.*)", re.DOTALL)
_UNFINISHED = " <unfinished ...>"
_RESULT = re.compile(r" = (-?\d+)[^=]*$")
_DESCRIPTOR = re.compile(r"(\d+)<([^>]*)>(\(deleted\))?")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_PEER = re.compile(r"^\d+<TCP:\[[^>]*->[^>]*:(\d+)\]>, .*?\"HTTP/1\.1 (\d+)", re.DOTALL)
_OWN_DESCRIPTOR = re.compile(r"/proc/self/fd/(\d+)$")
# An index in memory that is made anew after every crash.
_IN_MEMORY = re.compile(r"\.db-shm$|^[^/]*/run/|^run/")
_END_SECONDS = 60
_LONGEST = 4 * 1024 * 1024  # bytes of one call


@dataclass(slots=True)
class Call:
    process: int
    name: str
    text: str
    began: int
    ended: int = NEVER

    @property
    def result(self) -> int:
        found = _RESULT.search(self.text[-300:])
        return int(found[1]) if found else -1

    @property
    def strings(self) -> list[bytes]:
        return [escape_decode(one.encode())[0] for one in _STRING.findall(self.text)]


@dataclass(slots=True)
class Recording:
    """`answers`: of each port of a client, when each answer began to leave. `said`: lines of `Recorder.mark`."""

    operations: list[Operation] = field(default_factory=list)
    answers: dict[int, list[int]] = field(default_factory=dict)
    said: dict[str, int] = field(default_factory=dict)


class _Reader:
    """Calls in the order in which they ended, as operations on numbered files."""

    def __init__(self, root: Path) -> None:
        self._root = f"{root}/"
        self._files: dict[str, int] = {}  # by path, as things are now
        self._last: dict[str, int] = {}  # who had this path last
        self._sizes: Counter[int] = Counter()
        self._descriptors: dict[tuple[int, int], int] = {}  # of a process
        self._leaders: dict[int, int] = {}  # of a thread, its process
        self._made = 0
        self.recording = Recording()

    def read(self, call: Call) -> None:
        if call.name in _PROCESSES:
            if "CLONE_THREAD" in call.text and call.result > 0:
                self._leaders[call.result] = self._leader(call)
            return
        if peer := _PEER.match(call.text):
            self.recording.answers.setdefault(int(peer[1]), []).append(call.began)
        elif call.result >= 0 and self._root[:-1] in call.text:
            reader = _READERS.get(call.name, _Reader._unknown)
            if call.name not in _ANSWERS or self._target(call)[1]:
                reader(self, call)
        elif call.name == "write" and '"mark ' in call.text:
            self.recording.said[call.strings[0].decode().split()[1]] = call.began

    def _leader(self, call: Call) -> int:
        return self._leaders.get(call.process, call.process)

    def _path(self, text: str | bytes) -> str | None:
        path = text.decode() if isinstance(text, bytes) else text
        return path.removeprefix(self._root) if path.startswith(self._root) else None

    def _target(self, call: Call) -> tuple[int | None, str | None]:
        """The file, and the path, of a call's first argument."""
        found = _DESCRIPTOR.match(call.text)
        path = self._path(found[2]) if found else None
        if path is None or _IN_MEMORY.search(path):
            return None, None
        return (self._last if found and found[3] else self._files).get(path), path

    def _add(self, operation: Operation) -> None:
        self.recording.operations.append(operation)

    def _name(self, call: Call, path: str, number: int) -> None:
        self._files[path] = self._last[path] = number
        self._add(Name(path, number, began=call.began, ended=call.ended))

    def _open(self, call: Call) -> None:
        path = self._path(call.strings[0])
        if path is None or _IN_MEMORY.search(path) or "O_DIRECTORY" in call.text:
            return
        if path not in self._files and "O_CREAT" in call.text:
            self._made += 1
            self._name(call, path, self._made)
        if path in self._files:
            number = self._descriptors[self._leader(call), call.result] = self._files[path]
            if "O_TRUNC" in call.text and self._sizes[number]:
                self._sizes[number] = 0
                self._add(Truncate(number, 0, began=call.began, ended=call.ended))

    def _mkdir(self, call: Call) -> None:
        path = self._path(call.strings[0])
        if path is not None and not _IN_MEMORY.search(f"{path}/"):
            self._add(Directory(path, began=call.began, ended=call.ended))

    def _link(self, call: Call) -> None:
        source, target = call.strings
        folder = _DESCRIPTOR.findall(call.text)[-1] if not target.startswith(b"/") else None
        path = self._path(f"{folder[1]}/{target.decode()}" if folder else target)
        own = _OWN_DESCRIPTOR.match(source.decode())
        number = self._descriptors[self._leader(call), int(own[1])] if own else self._files[self._path(source) or ""]
        assert path is not None, call.text
        self._name(call, path, number)

    def _rename(self, call: Call) -> None:
        path, target = map(self._path, call.strings)
        assert path is not None, call.text
        assert target is not None, call.text
        self._files[target] = self._last[target] = self._files.pop(path)
        self._add(Rename(path, target, began=call.began, ended=call.ended))

    def _unlink(self, call: Call) -> None:
        name = call.strings[0]
        folder = _DESCRIPTOR.match(call.text) if not name.startswith(b"/") else None
        path = self._path(f"{folder[2]}/{name.decode()}" if folder else name)
        if path is not None and not _IN_MEMORY.search(path):
            self._files.pop(path, None)
            self._add(Forget(path, began=call.began, ended=call.ended))

    def _write(self, call: Call) -> None:
        number, path = self._target(call)
        if path is not None:
            assert number is not None, f"nobody made {path}"
            self._put(call, number, self._sizes[number])  # whoever writes so here, writes from the beginning on

    def _pwrite64(self, call: Call) -> None:
        number, path = self._target(call)
        if path is not None:
            assert number is not None, f"nobody made {path}"
            self._put(call, number, int(call.text.rpartition(" = ")[0].rstrip().rstrip(")").rpartition(", ")[2]))

    def _put(self, call: Call, number: int, offset: int) -> None:
        data = call.strings[0][: call.result]
        assert len(data) == call.result, "strace cut a write short"
        self._sizes[number] = max(self._sizes[number], offset + len(data))
        self._add(Write(number, offset, data, began=call.began, ended=call.ended))

    def _ftruncate(self, call: Call) -> None:
        number, path = self._target(call)
        if path is not None and number is not None:
            size = int(call.text.partition(", ")[2].partition(")")[0])
            self._sizes[number] = size
            self._add(Truncate(number, size, began=call.began, ended=call.ended))

    def _fsync(self, call: Call) -> None:
        found = _DESCRIPTOR.match(call.text)
        path = self._path(f"{found[2]}/".removesuffix("/") if found else "")
        target: int | str | None = None
        if path is not None and not _IN_MEMORY.search(path):
            target = self._target(call)[0]
            target = path if target is None else target
        elif found and f"{found[2]}/" == self._root:
            target = ""
        if target is not None:
            size_only = call.name == "fdatasync"
            self._add(Sync(target, size_only, began=call.began, ended=call.ended))

    def _mmap(self, call: Call) -> None:
        shared = "MAP_SHARED" in call.text and "PROT_WRITE" in call.text
        assert not shared or "-shm>" in call.text or "/run/" in call.text, f"written by way of memory: {call.text}"

    def _unknown(self, call: Call) -> None:
        raise AssertionError(f"the model of the disk does not know this call: {call.name}({call.text[:200]}")


_READERS: dict[str, Callable[[_Reader, Call], None]] = {
    "open": _Reader._open,
    "openat": _Reader._open,
    "mkdir": _Reader._mkdir,
    "mkdirat": _Reader._mkdir,
    "link": _Reader._link,
    "linkat": _Reader._link,
    "rename": _Reader._rename,
    "renameat": _Reader._rename,
    "renameat2": _Reader._rename,
    "unlink": _Reader._unlink,
    "unlinkat": _Reader._unlink,
    "rmdir": _Reader._unlink,
    "write": _Reader._write,
    "pwrite64": _Reader._pwrite64,
    "ftruncate": _Reader._ftruncate,
    "fsync": _Reader._fsync,
    "fdatasync": _Reader._fsync,
    "mmap": _Reader._mmap,
}
# These answer clients, and write to no file here.
_ANSWERS = ("sendto", "sendmsg", "writev")
_PROCESSES = ("clone", "clone3", "fork", "vfork")
# None of these is expected on the files that are recorded, since the model knows nothing of them.
_UNKNOWN = ("creat", "symlink", "symlinkat", "truncate", "fallocate", "pwritev", "pwritev2", "copy_file_range")


def read(lines: Iterable[str], root: Path) -> Recording:
    """What strace wrote about the files under a directory, which was empty at first."""
    reader = _Reader(root)
    for call in _calls(lines):
        reader.read(call)
    reader.recording.operations.sort(key=lambda operation: operation.began)
    return reader.recording


def _calls(lines: Iterable[str]) -> Iterator[Call]:
    """In the order in which they ended."""
    unfinished: dict[tuple[str, str], Call] = {}
    for number, line in enumerate(lines):
        matched = _LINE.match(line)
        if not matched:
            continue
        process, name, text = matched.groups()
        if line.endswith(_UNFINISHED):
            unfinished[process, name] = Call(int(process), name, text.removesuffix(_UNFINISHED), number)
            continue
        call = unfinished.pop((process, name), None) or Call(int(process), name, "", number)
        call.text += text
        call.ended = number
        yield call


class Recorder:
    """A shell under strace, so that all that it runs is one trace in one order."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.trace = root.with_name(f"{root.name}.trace")
        calls = [*_READERS, *_ANSWERS, *_PROCESSES, *_UNKNOWN]
        command: list[str | Path] = [components.require("strace"), "-f", "-yy", "--seccomp-bpf", "-s", f"{_LONGEST}"]
        command += ["-e", "trace=" + ",".join(f"?{name}" for name in calls), "-e", "signal=none"]
        command += ["-o", self.trace, "sh"]
        self._started: list[int] = []
        self._log = root.with_name(f"{root.name}.log").open("wb")
        self._shell = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env=_environment(), text=True
        )

    def start(self, *arguments: str | Path) -> int:
        """Runs this program beside the others, and returns its process."""
        self._started.append(int(self._ask(f"{_program(arguments)} >/dev/null & echo $!")))
        return self._started[-1]

    def run(self, mark: str, *arguments: str | Path) -> int:
        """Runs this program to its end, which gets a mark in the recording, and returns its exit code."""
        return int(self._ask(f"{_program(arguments)} >/dev/null; echo mark {mark} $?").split()[2])

    def say(self, mark: str) -> str:
        """Puts a mark into the recording, and returns it."""
        return self._ask(f"echo mark {mark}").split()[1]

    def end(self, process: int) -> int:
        """Asks a program to end, and returns its exit code."""
        return int(self._ask(f"kill -TERM {process}; wait {process}; echo $?"))

    def abandon(self) -> None:
        """Ends all that runs, where something went wrong."""
        if self._shell.poll() is None:
            with suppress(BrokenPipeError):
                self._shell.communicate(f"kill -KILL {' '.join(map(str, self._started))}\n", timeout=_END_SECONDS)
        self._log.close()

    def finish(self) -> Recording:
        self._shell.communicate()
        self._log.close()
        with self.trace.open(encoding="ascii", errors="surrogateescape", newline="\n") as lines:
            return read((line.rstrip("\n") for line in lines), self.root)

    def _ask(self, line: str) -> str:
        assert self._shell.stdin
        assert self._shell.stdout
        self._shell.stdin.write(f"{line}\n")
        self._shell.stdin.flush()
        answer: str = self._shell.stdout.readline()
        assert answer, f"the shell has ended: {self._log.name}"
        return answer


def _program(arguments: Iterable[str | Path]) -> str:
    return shlex.join([sys.executable, "-m", "tests.crash.states.recorded", *map(str, arguments)])


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PIERHEAD_")}
