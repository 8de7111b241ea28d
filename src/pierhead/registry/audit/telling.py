"""An event as others read it: JSON of one line, CSV, a message for syslog."""

import csv
import io
import json
import os
import socket
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from pierhead.metadata.trail import Event

COLUMNS = (
    "sequence", "id", "at", "action", "outcome", "actor", "credential", "credential_id", "address", "agent",
    "request_id", "repository", "repository_id", "project_id", "subject", "tag", "before", "after", "reason", "details",
)  # fmt: skip
# A spreadsheet takes a cell that begins with one of these for a formula; the last four are wide forms of the first.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# RFC 5424, section 6.2.1: facility 13 is the log of audits, severity 6 tells and 4 warns.
_FACILITY = 13
_TOLD, _WARNED = 6, 4
_MSGID_LENGTH = 32
# What a datagram holds over IPv4, with room for its headers.
_LONGEST = 60_000


def precise(microseconds: int) -> str:
    """RFC 3339, UTC, with microseconds."""
    moment = datetime.fromtimestamp(microseconds // 1_000_000, UTC).replace(microsecond=microseconds % 1_000_000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def told(event: Event) -> dict[str, Any]:
    return {
        "sequence": event.sequence,
        "id": event.id,
        "at": precise(event.at),
        "action": event.action,
        "outcome": event.outcome,
        "actor": event.actor.name,
        "credential": event.actor.credential,
        "credential_id": event.actor.credential_id,
        "address": event.actor.address,
        "agent": event.actor.agent,
        "request_id": event.actor.request_id,
        "repository": event.repository,
        "repository_id": event.repository_id,
        "project_id": event.project_id,
        "subject": event.subject,
        "tag": event.tag,
        "before": event.before,
        "after": event.after,
        "reason": event.reason,
        "details": json.loads(event.details) if event.details else None,
    }


def json_line(event: Event) -> str:
    return json.dumps(told(event), separators=(",", ":"))


def csv_head() -> str:
    return _csv(COLUMNS)


def csv_line(event: Event) -> str:
    values = told(event) | {"details": event.details}
    return _csv(_cell(values[column]) for column in COLUMNS)


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv(cells: Iterable[str]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerow(cells)
    return written.getvalue()


def syslog_event(event: Event) -> bytes:
    text = json_line(event)
    if len(text) > _LONGEST:
        text = json.dumps({**told(event), "reason": None, "details": {"too_long": len(text)}}, separators=(",", ":"))
    severity = _WARNED if event.outcome == "refused" else _TOLD
    return _syslog(severity, precise(event.at), event.action, text)


def syslog_head(line: str, at: int) -> bytes:
    return _syslog(_TOLD, precise(at), "audit.head", line)


def _syslog(severity: int, at: str, name: str, text: str) -> bytes:
    """RFC 5424, section 6. The text is JSON in ASCII, so it has no line breaks."""
    words = (socket.gethostname(), "pierhead", str(os.getpid()), name[:_MSGID_LENGTH])
    head = " ".join(_word(word) for word in words)
    return f"<{_FACILITY * 8 + severity}>1 {at} {head} - {text}".encode("ascii")


def _word(text: str) -> str:
    """Printable ASCII without spaces, or what stands for nothing."""
    return "".join(letter for letter in text if "!" <= letter <= "~") or "-"
