"""The real program and a real directory: what becomes of the tokens of people who leave it."""

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.access.ldap.company import person
from tests.access.ldap.test_serving import configuration, get
from tests.running import Running, serving
from tests.servers.slapd import GROUPS, PEOPLE, Server, slapd

KIND = "ldap.recheck.corp"
OFTEN = {"PIERHEAD_JOBS_POLL_SECONDS": "0.05", "PIERHEAD_LDAP_CORP_RETRY_SECONDS": "0.1"}
DIGEST = f"sha256:{hashlib.sha256(b'x').hexdigest()}"
BLOB = f"/v2/secret/app/blobs/{DIGEST}"
CREW = [f"crew{number}" for number in range(6)]
GROUP = f"dn: cn=developers,{GROUPS}\nobjectClass: groupOfNames\ncn: developers\nmember: uid=zoe,{PEOPLE}\n\n"


class Company:
    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.server = stack.enter_context(slapd())
        self.server.add("".join(map(entry, ["zoe", *CREW])) + GROUP)

    def close(self) -> None:
        self._stack.close()


def entry(name: str) -> str:
    # With a number that stays, as the server would call one who comes again by another id.
    return person(f"uid={name},{PEOPLE}", name, f"userPassword: {name}", f"employeeNumber: {name}")


@pytest.fixture
def staff() -> Iterator[Company]:
    with ExitStack() as stack:
        yield Company(stack)


def pierhead(server: Running, *arguments: str) -> str:
    command = [sys.executable, "-m", "pierhead.cli.main", *arguments, "--data", str(server.data)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


def signed_in(server: Running, name: str) -> str:
    """A token of somebody who signed in with his password."""
    assert get(server, "/v2/", name, name).status_code == 200
    made: str = json.loads(pierhead(server, "token", "create", name, "--name", "ci", "--json"))["token"]
    return made


def status(server: Running, token: str, path: str = "/v2/") -> int:
    return httpx.get(f"{server.url}{path}", headers={"Authorization": f"Bearer {token}"}, timeout=30).status_code


def push(server: Running, token: str) -> int:
    begin = f"{server.url}/v2/secret/app/blobs/uploads/?digest={DIGEST}"
    return httpx.post(begin, content=b"x", headers={"Authorization": f"Bearer {token}"}, timeout=30).status_code


def recheck(server: Running) -> None:
    pierhead(server, "jobs", "run", KIND)


def error(server: Running) -> str:
    jobs = json.loads(pierhead(server, "jobs", "list", "--json"))
    return next((job["error"] or "" for job in jobs if job["kind"] == KIND), "")


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def state(server: Running, name: str) -> str:
    return pierhead(server, "user", "show", name).splitlines()[0].split(", ")[2]


def settings(folder: Path, server: Server) -> str:
    return configuration(folder, server, 'subject_attribute = "employeeNumber"\n')


def test_who_leaves_the_directory_keeps_no_token_and_no_right(tmp_path: Path, staff: Company) -> None:
    company = staff.server
    with serving(tmp_path / "data", "--config", settings(tmp_path, company), environment=OFTEN) as server:
        zoe = signed_in(server, "zoe")
        pierhead(server, "project", "create", "secret")
        assert push(server, zoe) == 201
        assert status(server, zoe, BLOB) == 200
        company.modify(f"dn: cn=developers,{GROUPS}\nchangetype: modify\nreplace: member\nmember: cn=nobody\n")
        recheck(server)
        eventually(lambda: status(server, zoe, BLOB) != 200)
        without = status(server, zoe), state(server, "zoe")
        company.remove(f"uid=zoe,{PEOPLE}")
        recheck(server)
        eventually(lambda: status(server, zoe) == 401)
        suspended = state(server, "zoe")
        company.add(entry("zoe"))
        recheck(server)
        eventually(lambda: status(server, zoe) == 200)
        back = state(server, "zoe")

    assert without == (200, "enabled")
    assert (suspended, back) == ("suspended", "enabled")


def test_a_directory_that_is_down_or_was_emptied_suspends_nobody(tmp_path: Path, staff: Company) -> None:
    with serving(tmp_path / "data", "--config", settings(tmp_path, staff.server), environment=OFTEN) as server:
        token = signed_in(server, CREW[0])
        assert {get(server, "/v2/", name, name).status_code for name in CREW} == {200}
        for name in CREW:
            staff.server.remove(f"uid={name},{PEOPLE}")
        recheck(server)
        eventually(lambda: "knows 6 of 6 users no more" in error(server))
        emptied = status(server, token)
        staff.close()
        recheck(server)
        eventually(lambda: "SignInUnavailable" in error(server))
        down = status(server, token)

    assert emptied == down == 200
