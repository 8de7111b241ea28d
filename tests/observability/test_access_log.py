import asyncio
import json
import os
import shlex
import time
from pathlib import Path
from typing import Any

import pytest

from pierhead.observability import access_log
from pierhead.observability.access_log import AccessLog, Choice
from pierhead.observability.instruments import Counter
from pierhead.observability.logs import Format
from pierhead.observability.observability import Observability
from pierhead.observability.requests import RequestRecord
from tests.observability.scopes import http_scope


async def served(
    access: Choice,
    *scopes: Any,
    format: Format = "json",  # noqa: A002 -- the setting's name
    **filled: Any,
) -> None:
    async with Observability(access=access, format=format, shared=None) as observability:
        for scope in scopes:
            record = observability.started(scope)
            for name, value in ({"status": 200} | filled).items():
                setattr(record, name, value)
            observability.finished(record)


def test_a_line_says_who_did_what_and_how_it_went(capfd: pytest.CaptureFixture[str]) -> None:
    scope = http_scope("PUT", "/v2/team/app/manifests/1", query_string=b"tag=2&key=hunter2")
    filled: dict[str, Any] = {
        "status": 201,
        "operation": "put_manifest",
        "repository": "team/app",
        "reference": "1",
        "bytes_in": 500,
        "bytes_out": 3,
        "principal": "alice",
    }
    asyncio.run(served("all", scope, **filled))

    line = json.loads(capfd.readouterr().err)
    assert filled.items() <= line.items()
    assert line["path"] == "/v2/team/app/manifests/1"
    assert line["query"] == "tag=2&key=***"
    assert (line["method"], line["address"], line["agent"]) == ("PUT", "127.0.0.1", "docker/27.1")
    assert line["request_id"]
    assert line["ms"] >= 0
    assert line["time"][:4] == time.strftime("%Y", time.gmtime())


def test_a_console_line_is_one_readable_line(capfd: pytest.CaptureFixture[str]) -> None:
    scope = http_scope(path="/v2/a/tags/list", query_string=b"n=1")
    asyncio.run(served("all", scope, format="console", operation="list_tags", principal="alice"))

    line = capfd.readouterr().err
    assert " GET /v2/a/tags/list?n=1 200 " in line
    assert " operation=list_tags principal=alice address=127.0.0.1 agent=docker/27.1 request_id=" in line


@pytest.mark.parametrize(
    ("method", "status", "seconds", "logged"),
    [
        ("GET", 200, 0.1, False),
        ("HEAD", 200, 0.1, False),
        ("GET", 304, 0.1, False),
        ("GET", 200, 1.1, True),
        ("GET", 404, 0.1, True),
        ("GET", 0, 0.1, True),
        ("PUT", 201, 0.1, True),
        ("DELETE", 202, 0.1, True),
    ],
)
def test_changes_leaves_out_reads_that_went_well_and_fast(
    method: str, status: int, seconds: float, logged: bool
) -> None:
    record = RequestRecord(http_scope(method), lambda: "id")
    record.status = status

    assert access_log.is_worth_a_line(record, seconds) is logged


def test_none_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    asyncio.run(served("none", http_scope("DELETE"), status=500))

    assert not capfd.readouterr().err


def test_headers_with_secrets_are_not_logged(capfd: pytest.CaptureFixture[str]) -> None:
    headers = [(b"authorization", b"Basic hunter2"), (b"cookie", b"hunter2"), (b"referer", b"https://x/?t=hunter2")]
    asyncio.run(served("all", http_scope(headers=headers)))

    written = capfd.readouterr().err
    assert written
    assert "hunter2" not in written


@pytest.mark.parametrize("format", ["json", "console"])
def test_nothing_a_client_sends_can_forge_a_line(
    format: Format,  # noqa: A002 -- the setting's name
    capfd: pytest.CaptureFixture[str],
) -> None:
    evil = 'a\r\n{"forged":1}\x00\x1b[2J\x9b\xff" principal=root'
    scope = http_scope(
        evil, raw_path=evil.encode("latin-1"), query_string=evil.encode("latin-1"), client=(evil, "1"),
        headers=[(b"user-agent", evil.encode("latin-1"))],
    )  # fmt: skip
    asyncio.run(served("all", scope, format=format, principal=evil, repository=evil, reference=evil, error=evil))

    written = capfd.readouterr().err
    assert written.count("\n") == 1
    assert all(character.isprintable() for character in written[:-1])
    assert format == "json" or "principal=root" not in shlex.split(written)


def test_paths_and_agents_are_of_bounded_length(capfd: pytest.CaptureFixture[str]) -> None:
    scope = http_scope("G" * 9999, path="/" * 9999, headers=[(b"user-agent", b"a" * 9999)])
    asyncio.run(served("all", scope))

    assert len(capfd.readouterr().err) < 1500


def test_what_waits_is_written_at_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    asyncio.run(served("all", *[http_scope()] * 1234))

    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1234
    assert len({json.loads(line)["request_id"] for line in lines}) == 1234


def test_a_lone_entry_is_written_within_moments(capfd: pytest.CaptureFixture[str]) -> None:
    async def one_then_wait() -> str:
        async with Observability(access="all", format="json", shared=None) as observability:
            observability.finished(observability.started(http_scope()))
            await asyncio.sleep(0.3)
            return capfd.readouterr().err

    assert asyncio.run(one_then_wait())


def test_a_reader_that_reads_nothing_costs_lines_but_holds_up_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "CLOSING", 0.1)
    reader, writer = os.pipe()
    dropped = Counter("dropped", "")

    async def flooded() -> float:
        log = AccessLog("json", dropped, file=writer)
        log.open()
        started = time.perf_counter()
        for _ in range(30_000):
            log.add(RequestRecord(http_scope(), lambda: "id"), 0.1)
        elapsed = time.perf_counter() - started
        await log.close()
        return elapsed

    elapsed = asyncio.run(flooded())

    assert elapsed < 5
    assert dropped.rows[()][0] >= 30_000 - access_log.MAX_WAITING - access_log.BATCH
    # The thread's write fails once nobody can read any more.
    os.close(reader)
    time.sleep(0.1)
    os.close(writer)


def test_a_non_blocking_descriptor_takes_every_line(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    async def flooded() -> bytes:
        log = AccessLog("json", Counter("dropped", ""), file=writer)
        log.open()
        for _ in range(2000):
            log.add(RequestRecord(http_scope(), lambda: "id"), 0.1)
        reading = asyncio.to_thread(_read_all, reader)
        task = asyncio.ensure_future(reading)
        await log.close()
        os.close(writer)
        return await task

    assert asyncio.run(flooded()).count(b"\n") == 2000


def _read_all(file: int) -> bytes:
    with os.fdopen(file, "rb") as read:
        return read.read()
