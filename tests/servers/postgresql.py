"""A PostgreSQL cluster of its own, with fsync as it is in production. It refuses root, and so runs as `postgres`."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import components
from tests.running import free_port
from tests.servers import process

USER = "postgres"  # every connection from loopback is trusted
CONNECTIONS = 300


@dataclass(frozen=True, slots=True)
class Cluster:
    folder: Path
    port: int

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def database(self, name: str) -> Iterator[str]:
        """The URL of an empty database, dropped at the end whoever is still in it."""
        sql(self.url(), f'CREATE DATABASE "{name}"')
        try:
            yield self.url(name)
        finally:
            sql(self.url(), f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@contextmanager
def postgresql() -> Iterator[Cluster]:
    initdb, server = _program("initdb"), _program("postgres")
    with process.scratch("postgresql") as folder:
        cluster = Cluster(folder, free_port())
        # Without syncs only for the files of an empty cluster; the server itself does not skip any.
        options = ["--auth=trust", f"--username={USER}", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        process.run([initdb, "--pgdata", folder / "data", *options], folder)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(cluster.port),
            "unix_socket_directories": "",
            "max_connections": str(CONNECTIONS),
        }
        command: list[str | Path] = [server, "-D", folder / "data"]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with process.running(
            command,
            folder,
            lambda: _answers(cluster),
            unprivileged=True,
            orphaned="QUIT",  # its children leave with it
            stop=signal.SIGINT,  # without waiting for clients
        ):
            yield cluster


def sql(url: str, statement: str) -> str:
    """What psql prints for a statement: its rows, one a line, columns between bars."""
    ran = _psql(url, statement)
    assert ran.returncode == 0, f"{statement}\n{ran.stderr}"
    return ran.stdout.removesuffix("\n")


def _answers(cluster: Cluster) -> bool:
    return process.accepts(cluster.port) and _psql(cluster.url(), "SELECT 1").returncode == 0


def _psql(url: str, statement: str) -> subprocess.CompletedProcess[str]:
    options = ["--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return subprocess.run(
        [components.require("psql"), *options, f"--dbname={url}", f"--command={statement}"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _program(name: str) -> Path:
    """Debian keeps the servers of several versions side by side, none of them on PATH; the newest is taken."""
    installed = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    by_version = sorted(installed, key=lambda path: [int(part) for part in re.findall(r"\d+", path.parts[4])])
    return by_version[-1] if by_version else components.require(name)
