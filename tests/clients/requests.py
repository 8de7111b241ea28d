"""What a server was asked, from its access log."""

import json
import time
from pathlib import Path
from typing import Any

FLUSH_SECONDS = 5


def made(log: Path, repository: str, *, until: str | None = None) -> list[dict[str, Any]]:
    """The requests for a repository, oldest first; waits for one with operation `until` to be written."""
    ending = time.monotonic() + FLUSH_SECONDS
    while True:
        found = [line for line in _lines(log) if line.get("repository") == repository]
        if until is None or any(line["operation"] == until for line in found) or time.monotonic() > ending:
            return sorted(found, key=lambda line: str(line["time"]))
        time.sleep(0.05)


def _lines(log: Path) -> list[dict[str, Any]]:
    # The last line may be half written.
    whole = log.read_text(errors="replace").rpartition("\n")[0].splitlines()
    parsed = [json.loads(line) for line in whole if line.startswith("{")]
    return [line for line in parsed if line.get("logger") == "pierhead.access"]
