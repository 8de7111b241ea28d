"""What servers wrote in this whole session, searched for its passwords and for tokens. Runs last (conftest.py)."""

import base64
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from pierhead.accounts import secret
from tests.leaks import passwords, search

PLANTED = "plant3d, and long & odd"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """One that is gone before the session is searched."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def _jwt() -> str:
    head, told = (base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (b'{"alg":"ES256"}', b'{"sub":"a"}'))
    return f"{head}.{told}.{'s' * 86}"


LINES = {
    "as it is": f"told {PLANTED}.",
    "in a form": f"name=a&password={quote_plus(PLANTED)}&x=1",
    **{f"behind {name}": base64.b64encode(f"{name}:{PLANTED}".encode()).decode() for name in ("a", "ab", "abc")},
    "a token": secret.show("personal", 7, secret.draw()),
    "a JWT": _jwt(),
    "a header": '{"authorization": "Bearer 0123456789abcdef"}',
    "a hash": "hashed=$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_secret_in_a_log_is_found(folder: Path, line: str) -> None:
    log = folder / "node" / "data.log"
    log.parent.mkdir()
    log.write_text(f"before\n{line}\nafter\n")

    assert len(search.leaks([*search.written(folder)], [PLANTED])) == 1


def test_a_secret_in_a_database_is_found_and_a_hash_there_is_none(folder: Path) -> None:
    with sqlite3.connect(folder / "pierhead.db") as database:
        database.execute("CREATE TABLE events (told TEXT)")
        database.execute("INSERT INTO events VALUES (?), (?)", (PLANTED, LINES["a hash"]))
    database.close()

    assert search.leaks([*search.written(folder)], [PLANTED]) == [f"{PLANTED!r} in {folder}/pierhead.db"]


def test_what_only_looks_like_a_secret_is_none(folder: Path) -> None:
    whole = secret.show("robot", 7, secret.draw())
    (folder / "data.log").write_text(f"{whole[:-1]}{'0' if whole[-1] != '0' else '1'} eyJub25lIjoxfQ.eyJhIjoxfQ.short")

    assert search.leaks([*search.written(folder)], [PLANTED]) == []


def test_passwords_of_the_suite_are_known() -> None:
    """One for each way in which the suite says that something is one."""
    found = passwords.used()

    assert {
        "correct horse battery",  # a constant's name
        "hunter2",  # a key
        "reads people",  # a setting in a text
        "file-Tr0ub4dor too",  # a constant that is handed on
    } <= found


@pytest.mark.last
def test_no_secret_is_in_what_servers_wrote_in_this_session(tmp_path_factory: pytest.TempPathFactory) -> None:
    paths = [*search.written(tmp_path_factory.getbasetemp())]

    assert search.leaks(paths, passwords.wanted()) == []
