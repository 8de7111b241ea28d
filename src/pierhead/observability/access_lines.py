"""How an access log line reads, as JSON and on a console."""

from collections.abc import Callable
from functools import lru_cache

from pierhead.observability import lines
from pierhead.observability.logs import Format, console_value, safe_query, timestamp

# time, seconds, request id, method, path, query, status, operation, repository, reference,
# bytes in, bytes out, principal, address, agent, error
Entry = tuple[float, float, str, str, bytes, bytes, int, str, str, str, int, int, str, str, bytes, str]


def json_line(entry: Entry) -> bytes:
    (started, seconds, request_id, method, path, query, status, operation, repository, reference,
     bytes_in, bytes_out, principal, address, agent, error) = entry  # fmt: skip
    fields = {
        "time": _time(started),
        "level": "info",
        "logger": "pierhead.access",
        "message": "request",
        "request_id": request_id,
        "method": method[:METHOD_MAX],
        "path": path.decode("latin-1"),
        "status": status,
        "operation": operation,
        "repository": repository,
        "reference": reference,
        "bytes_in": bytes_in,
        "bytes_out": bytes_out,
        "ms": round(seconds * 1000, 3),
        "principal": principal,
        "address": address,
        "agent": agent.decode("latin-1"),
        "error": error,
    }
    if query:
        fields["query"] = safe_query(query)
    return lines.json_line(fields)


def console_line(entry: Entry) -> bytes:
    (started, seconds, request_id, method, path, query, status, operation, _, _,
     bytes_in, bytes_out, principal, address, agent, error) = entry  # fmt: skip
    target = console_value(path.decode("latin-1") + (f"?{safe_query(query)}" if query else ""), ' "')
    pairs = {
        "operation": operation, "error": error, "principal": principal, "address": address,
        "agent": agent.decode("latin-1"), "request_id": request_id,
    }  # fmt: skip
    shown = "".join(f" {key}={console_value(value)}" for key, value in pairs.items() if value)
    words = f"{_time(started)} {console_value(method[:METHOD_MAX])} {target} {status} {seconds * 1000:.1f} ms"
    return f"{words} in={bytes_in} out={bytes_out}{shown}\n".encode("utf-8", "backslashreplace")


METHOD_MAX = 32  # characters

FORMATS: dict[Format, Callable[[Entry], bytes]] = {"json": json_line, "console": console_line}


def _time(seconds: float) -> str:
    whole, fraction = divmod(seconds, 1)
    return f"{_second(whole)}.{int(fraction * 1000):03d}Z"


@lru_cache(maxsize=64)
def _second(whole: float) -> str:
    return timestamp(whole)[:19]
