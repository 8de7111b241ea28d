"""Handing events on: to files and to real syslog servers, all of them, however often it was cut short."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pierhead.errors import ForwardFailed
from pierhead.metadata import seals
from pierhead.registry.audit.chain import Statement
from pierhead.registry.audit.forwarding import append
from tests.clients.certificates import certificate
from tests.contracts.database import Place
from tests.registry.audit.receiver import listening
from tests.registry.audit.trails import faults, happen, heads, sealed, trail

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def embedded(at_sqlite: str) -> Place:
    return Place("sqlite", at_sqlite)


def numbers(messages: list[bytes]) -> list[int]:
    """Of the events among messages of RFC 5424."""
    found = []
    for message in messages:
        head, at, host, program, pid, name, data, text = message.decode("ascii").split(" ", 7)
        assert (head, program, data) == ("<110>1", "pierhead", "-"), message
        assert (at[-1], bool(host), pid.isdigit()) == ("Z", True, True)
        if name != "audit.head":
            told = json.loads(text)
            assert told["action"] == name
            found.append(told["sequence"])
    return found


async def test_files_get_each_event_and_each_head_once(place: Place, tmp_path: Path) -> None:
    events, signed = tmp_path / "events.jsonl", tmp_path / "heads.jsonl"
    async with trail(place, file=events, heads_file=signed) as (audit, database):
        assert not await audit.forwarding.wanted()
        await sealed(audit, database, 700)
        assert await audit.forwarding.wanted()
        assert await audit.forwarding.behind() == {"file": 700}
        assert await audit.forwarding.upto() == 0
        await audit.forwarding.run()
        await sealed(audit, database, 5)
        await audit.forwarding.run()
        await audit.forwarding.run()

        lines = [json.loads(line) for line in events.read_text().splitlines()]
        assert [line["sequence"] for line in lines] == list(range(1, 706))
        assert not await audit.forwarding.wanted()
        assert await audit.forwarding.upto() == 705
        told = [Statement.read_line(line) for line in signed.read_text().splitlines()]
        assert told == await heads(database)
        assert faults(await audit.verify(told)) == []
    assert (events.stat().st_mode & 0o777, signed.stat().st_mode & 0o777) == (0o600, 0o600)


@pytest.mark.parametrize("kind", ["udp", "tcp", "tls", "unix"])
async def test_a_syslog_server_gets_each_event_and_each_head(embedded: Place, tmp_path: Path, kind: str) -> None:
    settings: dict[str, Any] = {}
    made = None
    if kind == "tls":
        signed = certificate(tmp_path)
        made, settings["syslog_ca"] = (signed.path, signed.key), signed.path
    with listening(kind, tmp_path, made) as received:
        async with trail(embedded, syslog=received.url.replace("localhost", "127.0.0.1"), **settings) as (
            audit,
            database,
        ):
            await sealed(audit, database, 20)
            await audit.forwarding.run()
            await happen(database)
            await audit.sealing.run()
            await audit.forwarding.run()
            told = [one.line() for one in await heads(database)]

    assert sorted(numbers(received.messages)) == list(range(1, 22))
    assert [text.decode().split(" ", 7)[7] for text in received.messages if b" audit.head " in text] == told


@pytest.mark.parametrize("kind", ["tcp", "tls"])
@pytest.mark.parametrize("count", [3, 300])
async def test_what_a_server_did_not_read_to_its_end_is_sent_again(
    embedded: Place, tmp_path: Path, kind: str, count: int
) -> None:
    signed = certificate(tmp_path)
    settings: dict[str, Any] = {"syslog_ca": signed.path}
    with listening(kind, tmp_path, (signed.path, signed.key) if kind == "tls" else None) as received:
        async with trail(embedded, syslog=received.url.replace("localhost", "127.0.0.1"), **settings) as (
            audit,
            database,
        ):
            await sealed(audit, database, count)
            received.cut_after = 100
            with pytest.raises(ForwardFailed, match="syslog: "):
                await audit.forwarding.run()
            assert await audit.forwarding.behind() == {"syslog": count}
            received.cut_after = None
            await audit.forwarding.run()

    assert numbers(received.messages) == list(range(1, count + 1))


async def test_a_server_that_nobody_trusts_gets_nothing(embedded: Place, tmp_path: Path) -> None:
    made = certificate(tmp_path)
    with listening("tls", tmp_path, (made.path, made.key)) as received:
        async with trail(embedded, syslog=received.url.replace("localhost", "127.0.0.1")) as (audit, database):
            await sealed(audit, database, 3)
            with pytest.raises(ForwardFailed, match="CERTIFICATE_VERIFY_FAILED"):
                await audit.forwarding.run()

    assert received.messages == []


async def test_one_place_that_is_away_does_not_keep_the_others_from_what_is_theirs(
    embedded: Place, tmp_path: Path
) -> None:
    events = tmp_path / "events.jsonl"
    away = "tcp://127.0.0.1:1"
    async with trail(embedded, syslog=away, file=events, heads_file=tmp_path / "no" / "heads") as (audit, database):
        await sealed(audit, database, 3)
        with pytest.raises(
            ForwardFailed, match=r"syslog: .*Connect call failed.*heads: .*No such file.*syslog-heads: "
        ):
            await audit.forwarding.run()

        assert len(events.read_text().splitlines()) == 3
        assert await audit.forwarding.behind() == {"file": 0, "syslog": 3}
        assert await audit.forwarding.upto() == 0


async def test_nothing_goes_before_every_place_has_it(embedded: Place, tmp_path: Path) -> None:
    async with trail(embedded, file=tmp_path / "events", keep_days=1e-9) as (audit, database):
        await sealed(audit, database, 10)
        assert not await audit.sealing.any_old(await audit.forwarding.upto())
        await audit.forwarding.run()
        await audit.sealing.prune_all(await audit.forwarding.upto())

        assert await database.read(partial(seals.walk, after=0, limit=1)) == []
        assert faults(await audit.verify()) == []


def test_a_line_that_was_half_written_is_ended_first(tmp_path: Path) -> None:
    path = tmp_path / "file"
    append(path, ["one"])
    with path.open("a") as file:
        file.write('{"tor')
    append(path, ["two", "three"])

    assert path.read_text() == 'one\n{"tor\ntwo\nthree\n'


def test_a_file_that_was_renamed_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "file"
    append(path, ["one"])
    path.rename(tmp_path / "file.1")
    append(path, ["two"])

    assert path.read_text() == "two\n"
