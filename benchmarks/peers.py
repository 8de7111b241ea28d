"""The registries that are measured, each as its documentation says: files on disk, no accounts, no access log."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import components

OURS = "pierhead"
ANONYMOUS = "pierhead, anonymous"  # beside a verified user
OURS_LOGGING = "pierhead, access log all"
BEFORE = "pierhead, before"  # of another checkout
DISTRIBUTION_3 = "Distribution 3"
DISTRIBUTION_2 = "Distribution 2.8 (Debian)"
OLAREG = "olareg"
ZOT = "zot"
NGINX = "nginx (static file)"
START_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Tls:
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Running:
    name: str
    url: str
    pid: int
    data: Path


Command = Callable[[Path, int, Tls | None], list[str]]


def _ours(*extra: str) -> Command:
    def command(data: Path, port: int, tls: Tls | None) -> list[str]:
        secure = ["--tls-certificate", str(tls.certificate), "--tls-key", str(tls.key)] if tls else []
        program = [sys.executable, "-m", "pierhead.cli.main", "serve"]
        return [*program, "--port", str(port), "--data", str(data / "store"), *secure, *extra]

    return command


def _distribution(program: str) -> Command:
    def command(data: Path, port: int, tls: Tls | None) -> list[str]:
        secure = f", tls: {{certificate: {tls.certificate}, key: {tls.key}}}" if tls else ""
        (data / "config.yml").write_text(
            "version: 0.1\n"
            "log: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {data}/store}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '127.0.0.1:{port}'{secure}}}\n"
        )
        return [str(components.require(program)), "serve", str(data / "config.yml")]

    return command


def _olareg(data: Path, port: int, tls: Tls | None) -> list[str]:
    secure = ["--tls-cert", str(tls.certificate), "--tls-key", str(tls.key)] if tls else []
    (data / "store").mkdir()
    where = ["--addr", "127.0.0.1", "--port", str(port), "--dir", str(data / "store")]
    return [str(components.require("olareg")), "serve", *where, "--verbosity", "error", *secure]


def _zot(data: Path, port: int, tls: Tls | None) -> list[str]:
    secure = f', "tls": {{"cert": "{tls.certificate}", "key": "{tls.key}"}}' if tls else ""
    (data / "config.json").write_text(
        f'{{"storage": {{"rootDirectory": "{data}/store"}}, "log": {{"level": "error"}}, '
        f'"http": {{"address": "127.0.0.1", "port": "{port}"{secure}, "compat": ["docker2s2"]}}}}'
    )
    return [str(components.require("zot")), "serve", str(data / "config.json")]


def _nginx(data: Path, port: int, _: Tls | None) -> list[str]:
    (data / "nginx.conf").write_text(
        "daemon off; worker_processes 2; error_log /dev/null; events { worker_connections 1024; }\n"
        f"pid {data}/nginx.pid;\n"
        f"http {{ access_log off; sendfile on; tcp_nopush on; client_body_temp_path {data}/body;\n"
        f"proxy_temp_path {data}/proxy; fastcgi_temp_path {data}/fastcgi; uwsgi_temp_path {data}/uwsgi;\n"
        f"scgi_temp_path {data}/scgi; server {{ listen 127.0.0.1:{port}; root {data}/www; }} }}\n"
    )
    return [str(components.require("nginx")), "-c", str(data / "nginx.conf")]


COMMANDS: dict[str, tuple[str, Command]] = {
    OURS: ("", _ours()),
    OURS_LOGGING: ("", _ours("--access-log", "all")),
    DISTRIBUTION_3: ("registry", _distribution("registry")),
    DISTRIBUTION_2: ("docker-registry", _distribution("docker-registry")),
    OLAREG: ("olareg", _olareg),
    ZOT: ("zot", _zot),
    NGINX: ("nginx", _nginx),
}


def available() -> list[str]:
    return [name for name, (program, _) in COMMANDS.items() if not program or components.find(program)]


def add_before(checkout: Path) -> None:
    """The program as it is in another checkout, with the libraries of this one."""

    def command(data: Path, port: int, tls: Tls | None) -> list[str]:
        return ["env", f"PYTHONPATH={checkout.resolve() / 'src'}", *_ours()(data, port, tls)]

    COMMANDS[BEFORE] = "", command


@contextmanager
def running(name: str, folder: Path, tls: Tls | None = None, *extra: str) -> Iterator[Running]:
    """A registry with an empty store; both are gone after the block."""
    data = folder / "".join(filter(str.isalnum, name)).lower()
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    port = _free_port()
    with (folder / "log").open("ab") as log:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PIERHEAD_", "OTEL_"))}
        environment["OTEL_TRACES_EXPORTER"] = "none"
        command = [*COMMANDS[name][1](data, port, tls), *extra]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        _wait(url, process)
        yield Running(name, url, process.pid, data)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(data, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    unverified = ssl._create_unverified_context()  # noqa: S323, SLF001  a certificate of the benchmark's own
    ending = time.monotonic() + START_SECONDS
    while time.monotonic() < ending and process.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/v2/", timeout=2, context=unverified).close()  # noqa: S310  http(s) only
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise SystemExit(f"{url} does not answer: {process.args!r}")
