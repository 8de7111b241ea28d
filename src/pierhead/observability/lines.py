"""Lines that cannot be forged: every control character of a value is escaped, and a line arrives whole.

- JSON: as JSON escapes them; DEL, C1 and other unprintable characters too, which orjson leaves bare.
- Console: as Python escapes them.
- A pipe or a terminal takes at most PIPE_BUF bytes at once without mixing in another worker's lines.
"""

import json
import os
import re
import select
import stat
from collections.abc import Iterator
from typing import Any

import orjson

PIPE_BUF = 4096  # bytes; Linux
PATIENCE = 1000  # milliseconds for a non-blocking descriptor to take more

# DEL, C1, zero-width and direction marks, line and paragraph separators, surrogates, non-characters.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff0-\uffff]"
)
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str) -> str:
    """`text` on one line, with nothing in it that a terminal would obey."""
    return text if text.isascii() and text.isprintable() else _UNPRINTABLE.sub(_python_escape, text)


def json_line(fields: dict[str, Any]) -> bytes:
    try:
        line = orjson.dumps(fields, default=str, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        # Lone surrogates, huge integers, keys that are no text: rare, and json takes them.
        return json.dumps(fields, default=str, skipkeys=True).encode() + b"\n"
    if line.isascii() and b"\x7f" not in line:
        return line
    return _UNPRINTABLE.sub(_json_escape, line[:-1].decode()).encode() + b"\n"


def _python_escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    return _NAMED.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")  # noqa: PLR2004 -- one byte


def _json_escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def write(file: int, lines: list[bytes]) -> None:
    """Writes all `lines`, in one go where that keeps each whole. Raises OSError."""
    if stat.S_ISREG(os.fstat(file).st_mode):
        _write_all(file, b"".join(lines))
    else:
        for group in _groups(lines):
            _write_all(file, group)


def _groups(lines: list[bytes]) -> Iterator[bytes]:
    group: list[bytes] = []
    size = 0
    for line in lines:
        if size + len(line) > PIPE_BUF and group:
            yield b"".join(group)
            group, size = [], 0
        group.append(line)
        size += len(line)
    yield b"".join(group)


def _write_all(file: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        try:
            rest = rest[os.write(file, rest) :]
        except BlockingIOError:
            _wait_until_writable(file)


def _wait_until_writable(file: int) -> None:
    # Whoever shares our stderr may have made it non-blocking.
    poll = select.poll()
    poll.register(file, select.POLLOUT)
    if not poll.poll(PATIENCE):
        raise TimeoutError("nobody reads the log")
