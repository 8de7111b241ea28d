"""Structured logs on standard error, as JSON lines or readable text; `logging` stays the front.

Fields are given as `extra=`. Granian's own lines take the same shape: give it `dictionary(…)` as its
log configuration. Values under names that speak of secrets are masked.
"""

import logging
import logging.config
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import unquote_plus

from pierhead.observability import lines

Format = Literal["json", "console"]

STDERR = 2

# Set it only off the hot path, and only where each request runs in a task of its own.
current_request: ContextVar[str] = ContextVar("pierhead_request", default="")

KNOWN_QUERY_KEYS = frozenset(
    ("n", "last", "digest", "digest-algorithm", "mount", "from", "tag", "artifactType", "ns", "service", "scope")
)
QUERY_PARTS = 20
QUERY_VALUE = 256  # characters
QUERY_KEY = 32  # characters

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SECRET = re.compile(r"authorization|password|passwd|secret|token|cookie|api_?key|private_?key", re.IGNORECASE)
_COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "1;31"}


def resolve(choice: Literal["auto", "console", "json"]) -> Format:
    """`auto`: for a person at a terminal, else for a machine."""
    if choice == "auto":
        return "console" if sys.stderr.isatty() else "json"
    return choice


def configure(format: Format, level: str = "info") -> None:  # noqa: A002 -- the setting's name
    logging.config.dictConfig(dictionary(format, level))


def dictionary(format: Format, level: str = "info", *, colours: bool | None = None) -> dict[str, Any]:  # noqa: A002
    """The configuration for `logging`, also for Granian's `log_dictconfig`; plain values that can be pickled."""
    coloured = sys.stderr.isatty() if colours is None else colours
    formatter = {"()": JsonFormatter} if format == "json" else {"()": ConsoleFormatter, "colours": coloured}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": formatter},
        "handlers": {"stderr": {"()": Stderr, "formatter": "lines"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            "pierhead": {"level": level.upper()},
            "_granian": {"level": level.upper(), "handlers": [], "propagate": True},
            "granian.access": {"level": "INFO", "handlers": [], "propagate": True},
        },
    }


class Stderr(logging.Handler):
    """One write(2) for each record, so that lines of several workers do not mix."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            lines.write(STDERR, [self.format(record).encode("utf-8", "backslashreplace") + b"\n"])
        except OSError:
            pass  # nobody is left to tell
        except Exception:  # noqa: BLE001 -- a line that cannot be made must not fail who logs it
            self.handleError(record)


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        if error := _traceback(self, record):
            fields["error"] = error
        return lines.json_line(fields)[:-1].decode()


class ConsoleFormatter(logging.Formatter):
    def __init__(self, *, colours: bool = False) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        time, level, logger, message = (lines.printable(str(fields.pop(key))) for key in _HEAD)
        rest = "".join(f" {lines.printable(key)}={console_value(value)}" for key, value in fields.items())
        error = "".join(f"\n    {lines.printable(line)}" for line in _traceback(self, record).splitlines())
        return f"{time} {self._colour(level)} {logger}: {message}{rest}{error}"

    def _colour(self, level: str) -> str:
        padded = f"{level:<8}"
        return f"\x1b[{_COLOURS.get(level, '0')}m{padded}\x1b[0m" if self._colours else padded


_HEAD = ("time", "level", "logger", "message")


def console_value(value: object, mistakable: str = ' "=') -> str:
    """Quoted where a value could be mistaken for several."""
    text = lines.printable(str(value))
    if text and not any(character in text for character in mistakable):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def timestamp(seconds: float) -> str:
    """UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = {
        "time": timestamp(record.created),
        "level": record.levelname.lower(),
        "logger": record.name.removeprefix("_"),
        "message": record.getMessage(),
    }
    if request_id := current_request.get():
        fields["request_id"] = request_id
    extras = ((key, value) for key, value in vars(record).items() if key not in _STANDARD and key not in _HEAD)
    return fields | {key: "***" if _SECRET.search(key) else value for key, value in extras}


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = [formatter.formatException(record.exc_info)] if record.exc_info and record.exc_info[0] else []
    if record.stack_info:
        parts.append(record.stack_info)
    return "\n".join(parts)


def safe_query(query: bytes) -> str:
    """A query string fit for a log: only the values of keys that the protocol knows."""
    parts = query.split(b"&", QUERY_PARTS)
    shown = [_safe_part(part.decode("latin-1")) for part in parts[:QUERY_PARTS] if part]
    return "&".join(shown) + ("&…" if len(parts) > QUERY_PARTS else "")


def _safe_part(part: str) -> str:
    key, equals, value = part.partition("=")
    if not equals:
        # A lone word may be the secret itself.
        return key if unquote_plus(key) in KNOWN_QUERY_KEYS else "***"
    known = unquote_plus(key) in KNOWN_QUERY_KEYS
    return f"{key[:QUERY_KEY]}={value[:QUERY_VALUE] if known else '***'}"
