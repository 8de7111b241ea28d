"""What a log must not hold: an answer of 500 and more, a traceback, an error."""

import json
from pathlib import Path

_BAD_WORDS = ("Traceback", "Exception", "panicked", "RuntimeError")


def failures(log: Path, start: int = 0) -> list[str]:
    """The lines past `start` bytes that tell of a failure of the server's own."""
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    return [line for line in lines if _is_failure(line)]


def _is_failure(line: str) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return any(word in line for word in _BAD_WORDS)
    if not isinstance(entry, dict):
        return True
    return entry.get("status", 0) >= 500 or entry.get("level") in {"error", "critical"}
