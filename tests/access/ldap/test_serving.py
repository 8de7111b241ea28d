"""The real program with a directory: who gets in, and what a silent directory costs the others."""

import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.access.ldap.behaving import Listener
from tests.access.ldap.company import PASSWORD, written
from tests.running import Running, serving
from tests.servers.slapd import GROUPS, PEOPLE, READER, READER_PASSWORD, Server

# `htpasswd -nbm`: carol with the password that is her name
HTPASSWD = "carol:{SHA}KLkrVu5kuS67cthl8XLvAMcI34M=\n"


def configuration(folder: Path, company: Server, more: str = "") -> str:
    file = written(
        folder / "pierhead.toml",
        f"""[[ldap]]
name = "corp"
url = "{company.tls}"
ca_certificate = "{company.authority}"
bind_dn = "{READER}"
bind_password = "{READER_PASSWORD}"
base_dn = "{PEOPLE}"
group_base_dn = "{GROUPS}"
admin_groups = ["developers"]
{more}""",
    )
    return str(file)


def get(server: Running, path: str, name: str, password: str) -> httpx.Response:
    return httpx.get(f"{server.url}{path}", auth=(name, password), timeout=30)


def test_people_of_a_directory_sign_in_to_the_registry(tmp_path: Path, company: Server) -> None:
    with serving(tmp_path / "data", "--config", configuration(tmp_path, company)) as server:
        right, wrong, unknown, empty, nobody = (
            get(server, "/v2/", "alice", PASSWORD),
            get(server, "/v2/", "alice", "builder"),
            get(server, "/v2/", "mallory", "builder"),
            get(server, "/v2/", "alice", ""),
            httpx.get(f"{server.url}/v2/"),
        )
        by_admin = httpx.post(f"{server.url}/v2/team/app/blobs/uploads/", auth=("alice", PASSWORD))

    assert [answer.status_code for answer in (right, wrong, unknown, empty, nobody)] == [200, 401, 401, 401, 401]
    assert wrong.text == unknown.text
    assert by_admin.status_code == 202
    log = server.log.read_text()
    assert not [secret for secret in (PASSWORD, "builder", READER_PASSWORD) if secret in log]


def test_a_silent_directory_locks_nobody_else_out(tmp_path: Path, company: Server, silent: Listener) -> None:
    more = f'\n[[ldap]]\nname = "old"\nurl = "{silent.url}"\nbase_dn = "ou=people"\noperation_seconds = 4\n'
    accounts = written(tmp_path / "accounts", HTPASSWD)
    arguments = ["--config", configuration(tmp_path, company, more), "--htpasswd", str(accounts), "--workers", "1"]
    waiting: list[int] = []

    def ask(server: Running) -> None:
        waiting.append(get(server, "/v2/", "mallory", "x").status_code)

    with serving(tmp_path / "data", *arguments) as server:
        stranger = threading.Thread(target=ask, args=(server,))
        stranger.start()
        while silent.accepted == 0:
            time.sleep(0.01)
        began = time.monotonic()
        others = [get(server, "/v2/", "carol", "carol"), get(server, "/v2/", "alice", PASSWORD)]
        took = time.monotonic() - began
        still_waiting = stranger.is_alive()
        stranger.join()

    assert [answer.status_code for answer in others] == [200, 200]
    assert took < 3
    assert still_waiting
    assert waiting == [503]


@pytest.mark.parametrize("host", ["0.0.0.0"])
def test_a_directory_is_enough_to_serve_the_network(host: str, tmp_path: Path, company: Server) -> None:
    with serving(tmp_path / "data", "--config", configuration(tmp_path, company), "--host", host) as server:
        assert get(server, "/v2/", "alice", PASSWORD).status_code == 200

    assert "no accounts" not in server.log.read_text()
