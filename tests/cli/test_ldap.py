"""Trying out a directory from the command line."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.access.ldap.company import COMPANY
from tests.running import free_port
from tests.servers.slapd import GROUPS, PEOPLE, READER, Server, slapd


@pytest.fixture(scope="module")
def company() -> Iterator[Server]:
    with slapd() as server:
        server.add(COMPANY)
        yield server


@pytest.fixture
def file(company: Server, tmp_path: Path) -> Path:
    path = tmp_path / "pierhead.toml"
    path.write_text(
        f"""[[ldap]]
name = "corp"
url = "{company.tls}"
ca_certificate = "{company.authority}"
bind_dn = "{READER}"
bind_password = "reads people"
base_dn = "{PEOPLE}"
group_base_dn = "{GROUPS}"
nested_groups = "follow"
auditor_groups = ["world"]
teams = {{ developers = "dev" }}
"""
    )
    return path


def check(file: Path, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pierhead.cli.main", "ldap", "check", "--config", str(file), *arguments]
    return subprocess.run(command, input=typed, capture_output=True, text=True, check=False)


def test_a_directory_that_answers_is_told(file: Path, company: Server) -> None:
    ran = check(file)

    assert ran.stdout == f"corp: ok: {company.tls} answers, TLSv1.3, signed in as {READER}\n"
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_user_is_told_with_groups_role_and_teams(file: Path) -> None:
    ran = check(file, "corp", "--user", "alice", typed="wonderland\n")

    _, found, *details = ran.stdout.splitlines()
    assert found == f"corp: ok: found uid=alice,{PEOPLE}"
    assert details[:3] == ["  name: alice", "  display: Alice", "  email: alice@example.org"]
    assert details[4:6] == ["corp: ok: the password is right", "corp: ok: in 7 groups"]
    assert details[6] == f"  developers: cn=developers,{GROUPS}"
    assert details[-2:] == ["  role: auditor", "  teams: dev"]
    assert ran.returncode == 0


def test_a_wrong_password_ends_it_and_is_not_repeated(file: Path) -> None:
    ran = check(file, "--user", "alice", typed="hunter2\n")

    assert ran.stdout.splitlines()[-1] == "corp: FAILED: the password is refused"
    assert ran.returncode == 1
    assert "hunter2" not in ran.stdout + ran.stderr


def test_a_user_can_be_looked_up_without_a_password(file: Path) -> None:
    ran = check(file, "--user", "alice", "--no-password", "--json")

    steps = {step["tried"]: step for step in json.loads(ran.stdout)["corp"]}
    assert list(steps) == ["server", "user", "groups"]
    assert steps["groups"]["facts"]["role"] == "auditor"
    assert f"cn=world,{GROUPS}" in steps["groups"]["facts"]["groups"]


def test_a_user_who_is_not_there_is_told_with_what_was_looked_for(file: Path) -> None:
    ran = check(file, "--user", "nobody", typed="x\n")

    assert ran.stdout.splitlines()[-1] == f"corp: FAILED: (uid={{login}}) finds nobody below {PEOPLE}"
    assert ran.returncode == 1


def test_what_is_wrong_with_a_directory_is_told(file: Path, company: Server) -> None:
    dead = f"ldaps://localhost:{free_port()}"
    file.write_text(file.read_text().replace(f'"{company.tls}"', f'["{dead}", "{company.tls}"]'))
    first = check(file, "--user", "alice", typed="wonderland\n")
    file.write_text(file.read_text().replace("reads people", "hunter2"))
    second = check(file, "--user", "alice", typed="wonderland\n")

    assert first.stdout.startswith(f"corp: FAILED: {dead}: [Errno 111] Connection refused\ncorp: ok: ")
    assert "the password is right" in first.stdout
    assert second.stdout.splitlines()[1:] == [
        f"corp: FAILED: {company.tls}: the password of {READER} is refused (bind_dn)"
    ]
    assert (first.returncode, second.returncode) == (1, 1)


def test_a_directory_that_the_settings_have_not_is_a_mistake(file: Path) -> None:
    ran = check(file, "crop")

    assert ran.stderr == "pierhead: no directory of this name is in the settings; there are: corp\n"
    assert ran.returncode == 2
