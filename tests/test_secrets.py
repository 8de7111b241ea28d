"""What a registry wrote, answered and showed, searched for every secret that it was told or gave out.

One server with accounts of each kind meets right and wrong passwords, tokens and sessions; then its log (of the most
talkative level), its files, its metrics, the audit trail and its processes are searched, for each secret as it is and
as it stands in headers, addresses and forms.
"""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus

import httpx
import pytest

from tests.access.hashed import fast, write
from tests.running import Running, serving
from tests.web.person import Person

LOCAL, CHANGED = "local-Tr0ub4dor here", "next-Tr0ub4dor there"
FILE, WRONG = "file-Tr0ub4dor too", "wrong-Tr0ub4dor guess"
NAMES = ("alice", "carol", "nobody")
SCOPE = "repository:team/app:pull,push"


@dataclass(slots=True)
class Told:
    """Secrets, by what they are."""

    secrets: dict[str, str] = field(default_factory=dict)

    def forms(self) -> Iterator[tuple[str, bytes]]:
        for name, secret in self.secrets.items():
            yield name, secret.encode()
            yield f"{name}, as base64", base64.b64encode(secret.encode()).rstrip(b"=")[:-1]
            for owner in NAMES:
                yield f"{name}, with a name", base64.b64encode(f"{owner}:{secret}".encode()).rstrip(b"=")[:-1]
            yield f"{name}, in an address", quote(secret, safe="").encode()
            yield f"{name}, in a form", quote_plus(secret).encode()


def command(running: Running, *arguments: str, given: str = "") -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "pierhead.cli.main", *arguments, "--data", str(running.data)],
        input=given,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return ran.stdout


def basic(name: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secrets")


@pytest.fixture(scope="module")
def told(folder: Path) -> Iterator[tuple[Running, Told, dict[str, bytes]]]:
    """A server after all that, what it was told, and what was seen of it while it ran."""
    accounts = write(folder / "htpasswd", fast("carol", FILE))
    arguments = ("--workers", "1", "--htpasswd", str(accounts), "--access-log", "all", "--log-level", "debug")
    with serving(folder / "data", *arguments) as running:
        told = Told(
            {"local password": LOCAL, "changed password": CHANGED, "file's password": FILE, "wrong password": WRONG}
        )
        command(running, "user", "create", "alice", "--admin", "--password-stdin", given=LOCAL)
        made = command(running, "token", "create", "alice", "--name", "t", "--json")
        told.secrets["personal token"] = json.loads(made)["token"]
        _by_clients(running, told)
        _by_pages(running, told)
        seen = {
            "metrics": httpx.get(f"{running.url}/metrics").content,
            "processes": _processes(running),
            "audit trail": command(running, "audit", "export").encode(),
            "users": command(running, "user", "list", "--json").encode(),
            "tokens": command(running, "token", "list", "--json").encode(),
        }
        yield running, told, seen


def _by_clients(running: Running, told: Told) -> None:
    with httpx.Client(base_url=running.url, timeout=30) as client:
        for name, password in (("alice", LOCAL), ("carol", FILE), ("alice", WRONG), ("nobody", WRONG)):
            client.get("/v2/", headers=basic(name, password))
            given = client.get(f"/token?scope={SCOPE}&offline_token=true", headers=basic(name, password))
            if given.status_code == 200:
                told.secrets[f"bearer of {name}"] = given.json()["token"].rpartition(".")[2]
                told.secrets |= {f"refresh token of {name}": refresh for refresh in _refresh(given)}
            form = {"grant_type": "password", "username": name, "password": password, "service": "pierhead"}
            client.post("/token", data={**form, "access_type": "offline", "scope": SCOPE})
        for token in (told.secrets["personal token"], told.secrets["personal token"][:-1]):
            client.get("/v2/", headers=basic("alice", token))
            client.get("/v2/team/app/tags/list", headers={"authorization": f"Bearer {token}"})
        for refresh in [secret for name, secret in told.secrets.items() if name.startswith("refresh")]:
            client.post("/token", data={"grant_type": "refresh_token", "refresh_token": refresh, "scope": SCOPE})
        client.get("/v2/team/app/manifests/1", headers={"authorization": f"Basic {WRONG}"})
        client.get(f"/token?account=alice&scope={SCOPE}", headers={"authorization": f"Bearer {WRONG}"})


def _refresh(given: httpx.Response) -> list[str]:
    return [given.json()["refresh_token"]] if "refresh_token" in given.json() else []


def _by_pages(running: Running, told: Told) -> None:
    with Person(running) as person:
        person.sign_in("alice", WRONG)
        person.sign_in("alice", LOCAL)
        assert person.is_signed_in()
        _keep_cookies(told, person, "cookie")
        person.send("/account/password", current=LOCAL, password=CHANGED, again=CHANGED)
        _keep_cookies(told, person, "next cookie")


def _keep_cookies(told: Told, person: Person, kind: str) -> None:
    told.secrets |= {f"{kind} {name}": value for name, value in person.client.cookies.items() if len(value) > 20}


def _processes(running: Running) -> bytes:
    """Command lines and environments of all processes, and so of those of this server."""
    found = b""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            line = (folder / "cmdline").read_bytes()
            if b"pierhead.cli.main" in line:
                found += line + (folder / "environ").read_bytes()
        except OSError:  # it has ended
            continue
    assert str(running.data).encode() in found
    return found


def test_no_secret_is_in_what_a_registry_writes_and_shows(
    told: tuple[Running, Told, dict[str, bytes]], folder: Path
) -> None:
    running, known, seen = told
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "htpasswd":
            seen[str(path.relative_to(folder))] = path.read_bytes()

    found = [f"{name} in {where}" for name, form in known.forms() for where, text in seen.items() if form in text]

    assert found == []
    # That all of this was there to be found.
    assert b"carol" in seen["audit trail"]
    assert b"nobody" in seen["audit trail"]
    assert b"wrong name or password" in seen["audit trail"]
    assert b"alice" in running.log.read_bytes()
    assert {"personal token", "bearer of alice", "refresh token of alice", "bearer of carol"} <= known.secrets.keys()
    assert any(name.startswith("cookie") for name in known.secrets)


def test_the_search_finds_what_is_there(told: tuple[Running, Told, dict[str, bytes]]) -> None:
    _, known, _ = told
    line = b"GET /x?p=" + quote(LOCAL, safe="").encode() + b" " + base64.b64encode(f"nobody:{FILE}".encode())

    found = {name for name, form in known.forms() if form in line}
    assert found >= {"local password, in an address", "file's password, with a name"}
