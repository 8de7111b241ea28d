"""What the pages of the documentation ask a reader to do, as steps in order.

- ```console: lines after `$ ` are commands, the others their output; `…` stands for anything.
- ```sh: a script; its output is not shown.
- a block with a path after its language (```toml pierhead.toml) is a file that the reader writes.
- `<!-- fails -->` before a block: each of its commands is refused, as the page explains.
- `<!-- ctrl-c -->`: the reader stops the server that runs in another terminal.
- `<!-- not run: reason -->` before a block: no test can run it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])

_FENCE = re.compile(r"```(\w*)(?: (\S+))?")
_NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
_SHELLS = ("console", "sh")


@dataclass(frozen=True, slots=True)
class Command:
    text: str
    output: str = ""  # empty: not compared
    fails: bool = False


@dataclass(frozen=True, slots=True)
class File:
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Ctrl-C in the server's terminal."""


@dataclass(frozen=True, slots=True)
class NotRun:
    reason: str
    text: str


Step = Command | File | Stop | NotRun


@dataclass(frozen=True, slots=True)
class _Block:
    language: str
    path: str
    lines: list[str]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def steps(page: Path) -> list[Step]:
    found: list[Step] = []
    remark = ""
    for part in _parts(page.read_text()):
        if isinstance(part, str):
            remark = part
            if remark == "<!-- ctrl-c -->":
                found.append(Stop())
        else:
            found += _steps(part, remark)
            remark = ""
    return found


def _parts(text: str) -> Iterator[str | _Block]:
    """The blocks of a page, and each line of text between them that is not empty."""
    block: _Block | None = None
    for line in text.splitlines():
        fence = _FENCE.fullmatch(line.strip()) if line.strip().startswith("```") else None
        if block is None and fence:
            block = _Block(fence[1], fence[2] or "", [])
        elif block is None:
            if line.strip():
                yield line.strip()
        elif line.strip() == "```":
            yield block
            block = None
        else:
            block.lines.append(line)
    assert block is None, "a block is not closed"


def _steps(block: _Block, remark: str) -> list[Step]:
    text = "\n".join(block.lines) + "\n"
    skipped = _NOT_RUN.fullmatch(remark)
    if block.path:
        return [File(block.path, text)]
    if block.language not in _SHELLS:
        return []
    if skipped:
        return [NotRun(skipped[1], text)]
    fails = remark == "<!-- fails -->"
    return [Command(text, fails=fails)] if block.language == "sh" else _session(block.lines, fails=fails)


def _session(lines: list[str], *, fails: bool) -> list[Step]:
    commands: list[tuple[list[str], list[str]]] = []
    continued = False
    for line in lines:
        if continued:
            commands[-1][0].append(line)
        elif line.startswith("$ "):
            commands.append(([line.removeprefix("$ ")], []))
        else:
            commands[-1][1].append(line)
        continued = line.endswith("\\") and (continued or line.startswith("$ "))
    return [Command("\n".join(command), "\n".join(output), fails) for command, output in commands]
