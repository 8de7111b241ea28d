"""The first administrator: by the printed address, by --setup, and by the settings."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.running import Running, free_port, serving, start
from tests.web.person import PASSWORD, Person, set_up, setup_address


@contextmanager
def started(place: str, tmp_path: Path, request: pytest.FixtureRequest, *arguments: str) -> Iterator[Running]:
    """A server on an empty store of a kind."""
    if place == "postgresql":
        arguments = (*arguments, "--database", request.getfixturevalue("at_postgresql"))
    with serving(tmp_path / "data", "--workers", "2", *arguments) as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    with started(request.param, tmp_path, request) as running:
        yield running


def test_of_many_who_use_the_address_at_once_one_becomes_the_administrator(fresh: Running) -> None:
    address = setup_address(fresh.log)
    with ExitStack() as stack:
        people = [stack.enter_context(Person(fresh)) for _ in range(5)]
        forms = [person.token(address, "/setup") for person in people]

        def make(number: int) -> int:
            form = {**forms[number], "name": f"admin{number}", "password": PASSWORD, "again": PASSWORD}
            return people[number].client.post("/setup", data=form).status_code

        with ThreadPoolExecutor(5) as together:
            answers = list(together.map(make, range(5)))

        assert sorted(answers) == [303] + [410] * 4
        assert [person.is_signed_in() for person in people] == [answer == 303 for answer in answers]
    assert httpx.get(f"{fresh.url}/v2/").status_code == 401
    winner = answers.index(303)
    assert httpx.get(f"{fresh.url}/v2/", auth=(f"admin{winner}", PASSWORD)).status_code == 200
    assert httpx.get(fresh.url + address).status_code == 410


def test_a_wrong_or_an_older_address_opens_nothing(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--workers", "1") as first:
        older = setup_address(first.log)
    with serving(tmp_path / "data", "--workers", "1") as running, Person(running) as person:
        newer = setup_address(running.log)
        assert newer != older
        for address in (older, "/setup", "/setup?token=", "/setup?token=" + "x" * 43, "/setup?token=%00"):
            assert person.get(address).status_code == 404, address
        form = person.token(newer, "/setup")
        stale = {**form, "token": older.partition("=")[2], "name": "eve", "password": PASSWORD, "again": PASSWORD}
        assert person.client.post("/setup", data=stale).status_code == 404
        assert httpx.get(f"{running.url}/v2/").status_code == 200  # open still
        assert person.get(newer).status_code == 200


def test_the_store_has_a_hash_of_the_token_and_the_log_has_no_password(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--workers", "1", "--access-log", "all") as running:
        token = setup_address(running.log).partition("=")[2]
        set_up(running)
        assert token.encode() not in b"".join(file.read_bytes() for file in running.data.glob("pierhead.db*"))
        assert PASSWORD not in running.log.read_text()
        # Printed once, and in no line of a request.
        assert running.log.read_text().count(token) == 1


def test_a_refused_password_or_name_leaves_the_address_good(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--workers", "1") as running, Person(running) as person:
        address = setup_address(running.log)
        for fields in (
            {"name": "admin", "password": "short", "again": "short"},
            {"name": "admin", "password": PASSWORD, "again": "another"},
            {"name": "Not A Name", "password": PASSWORD, "again": PASSWORD},
            {"name": "anonymous", "password": PASSWORD, "again": PASSWORD},
        ):
            refused = person.send(address, **fields)
            assert refused.status_code == 400
            assert 'role="alert"' in refused.text
            assert PASSWORD not in refused.text
        set_up(running)


def outside(data: Path, *arguments: str, port: int, environment: dict[str, str] | None = None) -> Running:
    return start(data, "--host", "0.0.0.0", "--workers", "2", *arguments, port=port, environment=environment)


def test_with_setup_nothing_else_is_served_until_the_administrator_is_made(tmp_path: Path) -> None:
    running = outside(tmp_path / "data", "--setup", port=free_port())
    try:
        for path in ("/", "/v2/", "/v2/_catalog", "/v2/team/app/tags/list", "/sign-in", "/account", "/metrics",
                     "/token", "/nothing"):  # fmt: skip
            assert httpx.get(running.url + path).status_code == 401, path
        assert httpx.post(f"{running.url}/v2/team/app/blobs/uploads/").status_code == 401
        assert httpx.get(f"{running.url}/healthz").status_code == 200
        assert httpx.get(f"{running.url}/readyz").status_code == 200
        assert httpx.get(f"{running.url}/setup").status_code == 404

        set_up(running)

        assert httpx.get(f"{running.url}/v2/", auth=("admin", PASSWORD)).status_code == 200
        assert httpx.get(f"{running.url}/sign-in").status_code == 200
        assert httpx.get(f"{running.url}/metrics").status_code == 200
        assert f"//{socket.gethostname()}:" in running.log.read_text()  # nobody can open 0.0.0.0
    finally:
        running.stop()
    # And from now on it needs no flag.
    again = outside(tmp_path / "data", port=free_port())
    try:
        assert httpx.get(f"{again.url}/v2/").status_code == 401
        assert httpx.get(f"{again.url}/v2/", auth=("admin", PASSWORD)).status_code == 200
        assert again.log.read_text().count("/setup?token=") == 1
    finally:
        again.stop()


def run(data: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pierhead.cli.main", "serve", "--data", str(data), "--port", str(free_port())]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=20, check=False, env={**os.environ, **environment}
    )


def test_the_settings_make_the_first_administrator_and_only_the_first(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{PASSWORD}\n")
    environment = {"PIERHEAD_ACCESS_FIRST_ADMIN": "root", "PIERHEAD_ACCESS_FIRST_ADMIN_PASSWORD_FILE": str(secret)}
    running = outside(tmp_path / "data", port=free_port(), environment=environment)
    try:
        assert httpx.get(f"{running.url}/v2/", auth=("root", PASSWORD)).status_code == 200
        assert "/setup?token=" not in running.log.read_text()
        assert PASSWORD not in running.log.read_text()
    finally:
        running.stop()
    # Afterwards the file may go, and the name changes nothing.
    secret.unlink()
    environment["PIERHEAD_ACCESS_FIRST_ADMIN"] = "other"
    again = outside(tmp_path / "data", port=free_port(), environment=environment)
    try:
        assert httpx.get(f"{again.url}/v2/", auth=("root", PASSWORD)).status_code == 200
        assert httpx.get(f"{again.url}/v2/", auth=("other", PASSWORD)).status_code == 401
    finally:
        again.stop()


def test_a_password_that_is_not_accepted_is_a_mistake_of_the_settings(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("password123\n")

    ended = run(
        tmp_path / "data",
        PIERHEAD_ACCESS_FIRST_ADMIN="root",
        PIERHEAD_ACCESS_FIRST_ADMIN_PASSWORD_FILE=str(secret),
    )

    assert ended.returncode == 2
    assert "access.first_admin_password_file" in ended.stderr
    assert "password123" not in ended.stderr


def test_a_store_with_accounts_may_start_elsewhere_on_postgresql_too(at_postgresql: str, tmp_path: Path) -> None:
    with serving(tmp_path / "here", "--workers", "1", "--database", at_postgresql) as first:
        set_up(first)

    elsewhere = outside(tmp_path / "there", "--database", at_postgresql, port=free_port())

    try:
        assert httpx.get(f"{elsewhere.url}/v2/", auth=("admin", PASSWORD)).status_code == 200
    finally:
        elsewhere.stop()
