"""The command, as a shell runs it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pierhead import __version__
from tests.running import free_port
from tests.servers.postgresql import Cluster
from tests.servers.s3 import Server


def pierhead(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PIERHEAD_")}
    return subprocess.run(
        [sys.executable, "-m", "pierhead.cli.main", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=clean | environment,
    )


def test_it_tells_its_version() -> None:
    assert pierhead("--version").stdout == f"pierhead, version {__version__}\n"


def test_help_is_instant() -> None:
    times = []
    for _ in range(5):
        start = time.monotonic()
        assert "serve" in pierhead("--help").stdout
        times.append(time.monotonic() - start)

    # 80 ms on an idle machine; the bound leaves room for a busy one.
    assert min(times) < 0.3


def test_help_needs_nothing_but_click() -> None:
    program = "import sys, pierhead.cli.main; print(*sys.modules)"

    loaded = subprocess.check_output([sys.executable, "-c", program], text=True).split()
    assert not {"pydantic", "granian", "asyncio"}.intersection(loaded)


def test_a_right_configuration_is_ok() -> None:
    checked = pierhead("config", "check", "--host", "localhost")

    assert (checked.stdout, checked.returncode) == ("OK\n", 0)


def test_a_wrong_one_is_told_line_by_line() -> None:
    checked = pierhead("config", "check", "--port", "x", PIERHEAD_LOG_LEVEL="loud")

    assert checked.returncode == 1
    assert checked.stderr.splitlines() == [
        "pierhead: server.port = 'x' (--port): must be a whole number from 0 to 65535",
        "pierhead: log.level = 'loud' (PIERHEAD_LOG_LEVEL): must be debug or info or warning or error",
    ]


def test_check_reads_the_files_too(tmp_path: Path) -> None:
    accounts = tmp_path / "accounts"
    accounts.write_text("root:hunter2\n")

    checked = pierhead("config", "check", "--htpasswd", str(accounts))

    assert checked.returncode == 1
    assert f"{accounts}: line 1: no hash that can be checked" in checked.stderr
    assert "hunter2" not in checked.stderr


def test_show_prints_each_value_with_its_source() -> None:
    shown = pierhead("config", "show", "--port", "5001", PIERHEAD_LOG_LEVEL="debug").stdout

    assert "port = 5001" in shown
    assert "# --port" in shown
    assert "# PIERHEAD_LOG_LEVEL" in shown


@pytest.mark.parametrize("flags", [["--host", "0.0.0.0"], ["--tls-key", "none"], ["--htpasswd", "/nowhere"]])
def test_serve_refuses_a_wrong_configuration_with_exit_code_2(flags: list[str], tmp_path: Path) -> None:
    refused = pierhead("serve", "--data", str(tmp_path / "data"), *flags)

    assert refused.returncode == 2
    assert refused.stderr.startswith("pierhead: ")


def test_serve_says_who_may_not_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    refused = pierhead("serve", "--data", str(tmp_path / "file" / "data"))

    assert refused.returncode == 2
    assert "cannot be made: Not a directory" in refused.stderr


def test_the_embedded_database_needs_no_migrating() -> None:
    assert "by itself" in pierhead("migrate").stdout


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_a_database_that_cannot_be_used_is_told_in_one_line(postgresql: Cluster, tmp_path: Path, command: str) -> None:
    url = postgresql.url("nowhere").replace("@", ":secret@")
    told = pierhead(command, "--database", url, "--data", str(tmp_path / "data"), "--port", str(free_port()))

    assert told.returncode == 2
    assert told.stderr.splitlines()[-1].startswith("pierhead: database.url: cannot be reached: InvalidCatalogNameError")
    assert "secret" not in told.stdout + told.stderr


def test_the_password_of_the_database_is_not_shown() -> None:
    shown = pierhead("config", "show", "--database", "postgresql://me:secret@localhost/x")

    assert "secret" not in shown.stdout
    assert 'url = "**********"' in shown.stdout


@pytest.mark.parametrize(
    ("bucket", "changed", "code"),
    [
        ("registry-that-nobody-made", {}, "NoSuchBucket"),
        ("", {"AWS_SECRET_ACCESS_KEY": "another"}, "SignatureDoesNotMatch"),
        ("", {"AWS_ACCESS_KEY_ID": "somebody"}, "InvalidAccessKeyId"),
    ],
)
def test_a_store_that_refuses_is_told_in_one_line(
    s3: Server, tmp_path: Path, bucket: str, changed: dict[str, str], code: str
) -> None:
    made = s3.bucket()
    url = made.url().replace(made.name, bucket or made.name)
    environment = made.environment | changed
    told = pierhead(
        "serve", "--storage", url, "--data", str(tmp_path / "data"), "--port", str(free_port()), **environment
    )

    assert told.returncode == 2
    assert told.stderr.startswith(f"pierhead: storage.url: the store refuses (put: {code}); look at the bucket")
    assert len(told.stderr.splitlines()) == 1


def test_a_registry_without_accounts_is_not_opened_to_strangers(tmp_path: Path) -> None:
    refused = pierhead("serve", "--host", "0.0.0.0", "--port", str(free_port()), "--data", str(tmp_path / "data"))

    assert refused.returncode == 2
    assert refused.stderr.startswith("pierhead: server.host = '0.0.0.0': ")
    assert all(way in refused.stderr for way in ("--htpasswd FILE", "--setup", "--allow-anonymous"))
