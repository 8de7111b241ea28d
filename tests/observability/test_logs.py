import json
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pierhead.observability import lines, logs

FORGED = 'x\n{"level":"info","message":"forged"}\r\n\x1b[2J\x9b31m\x7f\u202e\u2028'


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], level = before
    root.setLevel(level)
    for name in ("pierhead", "_granian", "granian.access"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def logger() -> logging.Logger:
    return logging.getLogger("pierhead.test")


def test_a_json_line_carries_message_and_fields(logger: logging.Logger, capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    logger.info("pushed %s", "a", extra={"repository": "team/app", "size": 5})

    line = json.loads(capfd.readouterr().err)
    assert line.pop("time").endswith("Z")
    expected = {"level": "info", "logger": "pierhead.test", "message": "pushed a", "repository": "team/app", "size": 5}
    assert line == expected


def test_a_console_line_can_be_read(logger: logging.Logger, capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("console")
    logger.warning("pushed", extra={"repository": "team/app", "reason": 'a "b"'})

    line = capfd.readouterr().err
    assert line.endswith('warning  pierhead.test: pushed repository=team/app reason="a \\"b\\""\n')
    assert "\x1b" not in line


def test_colours_are_for_terminals_only() -> None:
    record = logging.makeLogRecord({"name": "pierhead", "levelname": "ERROR", "msg": "x"})

    assert "\x1b[31merror" in logs.ConsoleFormatter(colours=True).format(record)
    assert logs.dictionary("console")["formatters"]["lines"]["colours"] is sys.stderr.isatty()


@pytest.mark.parametrize("format", ["json", "console"])
def test_no_value_can_forge_a_line_or_command_a_terminal(
    format: logs.Format,  # noqa: A002 -- the setting's name
    logger: logging.Logger,
    capfd: pytest.CaptureFixture[str],
) -> None:
    logs.configure(format)
    logger.info("a %s", FORGED, extra={"agent": FORGED, "list": [FORGED]})

    written = capfd.readouterr().err
    assert written.endswith("\n")
    assert all(character.isprintable() for character in written[:-1])


def fail(why: str) -> None:
    raise ValueError(why)


def test_a_traceback_stays_behind_its_line(logger: logging.Logger, capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("console")
    try:
        fail(FORGED)
    except ValueError:
        logger.exception("failed")

    first, *rest = capfd.readouterr().err.splitlines()
    assert first.endswith("failed")
    assert all(line.startswith("    ") and line.isprintable() for line in rest)


def test_json_keeps_a_traceback_in_its_line(logger: logging.Logger, capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    try:
        fail("why")
    except ValueError:
        logger.exception("failed")

    assert "ValueError: why" in json.loads(capfd.readouterr().err)["error"]


@given(st.text(alphabet=st.characters()), st.text())
def test_json_gives_back_every_text_unharmed(value: str, key: str) -> None:
    line = lines.json_line({key: value})

    assert json.loads(line) == {key: value}
    assert line.count(b"\n") == 1


@given(st.text(alphabet=st.characters()))
def test_printable_text_holds_no_control_characters(value: str) -> None:
    shown = lines.printable(value)

    assert not lines._UNPRINTABLE.search(shown)


def test_lone_surrogates_and_huge_integers_can_be_logged(
    logger: logging.Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    logs.configure("json")
    logger.info("a", extra={"path": "\udcff", "size": 1 << 80})

    assert json.loads(capfd.readouterr().err)["size"] == 1 << 80


@pytest.mark.parametrize("key", ["authorization", "Authorization", "password", "registry_token", "cookie", "api_key"])
def test_what_is_named_like_a_secret_is_masked(
    key: str, logger: logging.Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    logs.configure("json")
    logger.info("a", extra={key: "hunter2"})

    assert "hunter2" not in capfd.readouterr().err


def test_the_current_request_is_named_where_it_is_known(
    logger: logging.Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    logs.configure("json")
    token = logs.current_request.set("abc-1")
    logger.info("a")
    logs.current_request.reset(token)
    logger.info("b", extra={"request_id": "abc-2"})

    ids = [json.loads(line)["request_id"] for line in capfd.readouterr().err.splitlines()]
    assert ids == ["abc-1", "abc-2"]


def test_granian_speaks_in_the_same_shape(capfd: pytest.CaptureFixture[str]) -> None:
    from granian.log import LogLevels, configure_logging  # noqa: PLC0415 -- importing it configures nothing yet

    configure_logging(LogLevels.info, logs.dictionary("json"))
    logging.getLogger("_granian").info("Started worker-1")

    written = capfd.readouterr()
    assert json.loads(written.err)["logger"] == "granian"
    assert not written.out


def test_the_configuration_travels_to_spawned_workers() -> None:
    assert pickle.loads(pickle.dumps(logs.dictionary("json", "debug"))) == logs.dictionary("json", "debug")  # noqa: S301


def test_the_level_is_kept(logger: logging.Logger, capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "warning")
    logger.info("quiet")

    assert not capfd.readouterr().err


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        (b"n=10&last=a", "n=10&last=a"),
        (b"tag=a&tag=b", "tag=a&tag=b"),
        (b"signature=abc&n=1", "signature=***&n=1"),
        (b"hunter2", "***"),
        (b"n", "n"),
        (b"", ""),
        (b"N=1&%6e=2", "N=***&%6e=2"),
    ],
)
def test_a_query_shows_the_values_of_known_keys_only(query: bytes, shown: str) -> None:
    assert logs.safe_query(query) == shown


def test_a_long_query_is_cut() -> None:
    assert len(logs.safe_query(b"&".join([b"digest=" + b"x" * 10_000] * 1000))) < 6000


WRITER = """
import sys
from pierhead.observability import lines
for _ in range(50):
    lines.write(1, [sys.argv[1].encode() * 300 + b"\\n"] * 100)
"""


def test_lines_of_several_processes_do_not_mix_in_a_pipe() -> None:
    reader, writer = os.pipe()
    processes = [subprocess.Popen([sys.executable, "-c", WRITER, letter], stdout=writer) for letter in "abc"]
    os.close(writer)

    with os.fdopen(reader, "rb") as read:
        written = read.read().splitlines()
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert len(written) == 15_000
    assert set(written) == {letter * 300 for letter in (b"a", b"b", b"c")}
