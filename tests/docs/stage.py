"""Where the commands of a page run: a directory of its own, free ports, and no file of this machine touched."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests import components
from tests.docs.pages import ROOT, Command, File, Step, Stop
from tests.running import free_port

# What a page says, and what a test does instead. Everything else is run as it stands.
# {scratch} is the page's directory, {port} and {proxy} are free ports, {images} what stands in for Docker Hub.
# {second} and {third} are ports of more nodes, for a page that names them: `serve` then starts all of them.
# {cluster} and {database} are the URL and the port of a PostgreSQL, {moved_to} is an empty database in it, {s3} and
# {bucket} are an S3 server and an empty bucket, {ldap} and {ldaps} the ports of a directory, {issuer} and {issuer_tls}
# issuers of OpenID Connect: for the pages that ask for them.
SUBSTITUTIONS: tuple[tuple[str, str], ...] = (
    # What is fetched from elsewhere.
    (r"git clone <this repository> pierhead", "ln -s {checkout} pierhead"),
    (r"docker pull busybox", "docker load --quiet --input {images}/busybox.tar"),
    (r"docker://docker\.io/library/busybox:latest", "oci:{images}/busybox:latest"),
    # A store of objects, and who may use it.
    (r"http://localhost:9000|https://s3\.example\.org", "{s3}"),
    (r"s3://registry/", "s3://{bucket}/"),
    (r"AWS_ACCESS_KEY_ID=KEY\b", "AWS_ACCESS_KEY_ID={key}"),
    (r"AWS_SECRET_ACCESS_KEY=SECRET\b", "AWS_SECRET_ACCESS_KEY={secret}"),
    # Machines: a balancer and its nodes.
    (r"10\.0\.0\.11:5000", "127.0.0.1:{port}"),
    (r"10\.0\.0\.12:5000", "127.0.0.1:{second}"),
    (r"10\.0\.0\.13:5000", "127.0.0.1:{third}"),
    (r"10\.0\.0\.10\b", "127.0.0.1"),
    # Names and ports.
    (r"registry\.example\.org:5000", "localhost:{port}"),
    (r"\bhttps://registry\.example\.org\b", "https://localhost:{proxy}"),
    (r"\bregistry\.example\.org/team", "localhost:{proxy}/team"),
    (r"--password-stdin registry\.example\.org\b", "--password-stdin localhost:{proxy}"),
    (r"registry\.example\.org", "localhost"),
    (r":5000\b", ":{port}"),
    (r"\blisten (\[::\]:)?443 ssl", "listen 127.0.0.1:{proxy} ssl"),
    # Other people's servers, which a reader's machine starts by itself.
    (r"sudo nginx -t", "nginx -t -c {scratch}/nginx.conf"),
    (r"sudo systemctl reload nginx", "nginx -c {scratch}/nginx.conf"),
    # Other people's database server.
    (r"sudo -u postgres psql", "psql --dbname={cluster}"),
    (r"pierhead:secret@db\.example\.org/registry", "{moved_to}"),
    (r"db\.example\.org", "127.0.0.1:{database}"),
    # Other people's directory.
    (r"(ldaps?)://ldap\.example\.org", r"\1://localhost:{\1}"),
    (r"/etc/pierhead/directory-ca\.pem", "{ldap_ca}"),
    (r"/etc/ssl/certs/ca-certificates\.crt", "{ldap_stranger}"),
    # Other people's issuers.
    (r"https://sso\.example\.org", "{issuer_tls}"),
    (r"https://(gitlab\.example\.org|token\.actions\.githubusercontent\.com)", "{issuer}"),
    (r"/etc/pierhead/sso-ca\.pem", "{issuer_ca}"),
    # The rest of the machine.
    (r"\bsudo ", ""),
    (r"(?<![\w./])/(etc|srv|var/lib|opt|backup|restore)\b", r"{scratch}/\1"),
)

_NGINX = """\
daemon on; pid {scratch}/nginx.pid; error_log {scratch}/nginx.log; events {{}}
http {{ access_log off; client_body_temp_path {scratch}/body; proxy_temp_path {scratch}/proxy;
fastcgi_temp_path {scratch}/fastcgi; uwsgi_temp_path {scratch}/uwsgi; scgi_temp_path {scratch}/scgi;
include {scratch}/etc/nginx/conf.d/*.conf; }}
"""
_STORAGE = '[storage]\ndriver = "vfs"\nrunroot = "{scratch}/podman/run"\ngraphroot = "{scratch}/podman/graph"\n'

_SERVES = re.compile(r"(^|\s)(make|pierhead) serve\b(?!.*--help)")
_READY = re.compile(r"pierhead \S+ serves http")
_COMMAND_SECONDS = 60
_START_SECONDS = 20


class Stage:
    def __init__(self, scratch: Path, images: Path, environment: Mapping[str, str], **names: str) -> None:
        self._scratch = scratch
        self._folder = scratch
        self._names = {
            "scratch": str(scratch),
            "images": str(images),
            "checkout": str(ROOT),
            "port": str(free_port()),
            "proxy": str(free_port()),
            **names,
        }
        self._environment = {**_clean(), **_apart(scratch), **environment}
        self._servers: list[subprocess.Popen[bytes]] = []
        self._log = scratch / "server.log"
        for path, text in (("nginx.conf", _NGINX), ("storage.conf", _STORAGE)):
            (scratch / path).write_text(text.format(scratch=scratch))
        for folder in ("home", "etc/docker", "etc/nginx/conf.d"):
            (scratch / folder).mkdir(parents=True)
        # curl draws a meter where its output is no terminal.
        (scratch / "home/.curlrc").write_text("silent\nshow-error\n")

    def take(self, step: Step) -> None:
        match step:
            case File(path, text):
                target = self._folder / self.substituted(path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(self.substituted(text))
            case Command(text, output, fails):
                self._command(self.substituted(text), self.substituted(output), fails=fails)
            case Stop():
                self.stop()

    def substituted(self, text: str) -> str:
        for said, done in SUBSTITUTIONS:
            text = re.sub(said, lambda matched, done=done: matched.expand(done).format(**self._names), text)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        return text

    def close(self) -> None:
        self.stop()
        with suppress(OSError, ValueError):
            os.kill(int((self._scratch / "nginx.pid").read_text()), signal.SIGTERM)

    def stop(self) -> None:
        for server in self._servers:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGINT)
        try:
            for server in self._servers:
                server.wait(40)
        finally:
            for server in self._servers:
                if server.poll() is None:
                    os.killpg(server.pid, signal.SIGKILL)
            self._servers.clear()

    def _command(self, command: str, output: str, *, fails: bool) -> None:
        if _SERVES.search(command) and not fails:
            self._serve(command)
            _eventually_reads(self._log, output)
            return
        if _SERVES.search(command):
            command = f"export PIERHEAD_SERVER_PORT={self._names['port']}; {command}"
        ran = self._run(command)
        assert (ran.returncode != 0) == fails, f"$ {command}\n{ran.stdout}\n(exit code {ran.returncode})"
        assert not output or reads(ran.stdout, output), f"$ {command}\n{ran.stdout}\nthe page says:\n{output}"

    def _run(self, command: str) -> subprocess.CompletedProcess[str]:
        """In a shell of its own, that takes over the directory and the environment of the last one, like a session."""
        state = self._scratch / "state"
        # A server that a page says is refused would else ask for the port of the page, which others may have.
        port = {"PIERHEAD_SERVER_PORT": self._names["port"]} if _SERVES.search(command) else {}
        process = subprocess.Popen(
            ["bash", "-eo", "pipefail", "-c", f"{command}\n{{ pwd; env -0; }} > {state}"],
            cwd=self._folder,
            env={**self._environment, **port},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # nobody is there to type a password
            text=True,
        )
        try:
            shown, _ = process.communicate(timeout=_COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with what it started, which would else go on
            raise
        ran = subprocess.CompletedProcess(command, process.returncode, shown)
        if ran.returncode == 0:
            folder, _, variables = state.read_text().partition("\n")
            self._folder = Path(folder)
            self._environment = dict(pair.split("=", 1) for pair in variables.split("\0") if pair)
        return ran

    def _serve(self, command: str) -> None:
        """A terminal of its own for each node, in which the server runs until the reader stops it."""
        assert not self._servers, "the page does not say to stop the first server (<!-- ctrl-c -->)"
        self._start(command, self._log, self._names["port"])
        for node in ("second", "third"):
            if node in self._names:
                self._start(command, self._scratch / f"{node}.log", self._names[node], f"{self._scratch}/{node}")

    def _start(self, command: str, path: Path, port: str, data: str = "") -> None:
        path.write_bytes(b"")
        settings = {
            "PIERHEAD_SERVER_PORT": port,
            "PIERHEAD_LOG_FORMAT": "console",
            # A collector of traces that nobody runs is waited for at the end.
            "PIERHEAD_SERVER_DRAIN_SECONDS": "3",
        }
        if "make serve" in command:
            # The checkout itself is behind the link, and keeps no data.
            data = f"{self._scratch}/pierhead-data"
        if data:
            settings["PIERHEAD_SERVER_DATA"] = data
        with path.open("ab") as log:
            server = subprocess.Popen(
                ["bash", "-ec", command],
                cwd=self._folder,
                env={**self._environment, **settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._servers.append(server)
        ending = time.monotonic() + _START_SECONDS
        while not _READY.search(path.read_text()):
            assert server.poll() is None, f"$ {command}\n{path.read_text()}"
            assert time.monotonic() < ending, f"$ {command}\n{path.read_text()}"
            time.sleep(0.02)


def reads(actual: str, shown: str) -> bool:
    """Whether an output is what a page shows; `…` stands for anything, also for no line at all."""
    pattern = re.escape(_trimmed(shown)).replace("…\\\n", "(?:.*\n)?").replace("\\\n…", "(?:\n.*)?").replace("…", ".*")
    return re.fullmatch(pattern, _trimmed(actual), re.DOTALL) is not None


def _eventually_reads(log: Path, shown: str) -> None:
    """The server has said so, or says so within a moment."""
    ending = time.monotonic() + 5
    while shown and not reads(log.read_text(), shown):
        assert time.monotonic() < ending, f"{log.read_text()}\nthe page says:\n{shown}"
        time.sleep(0.02)


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _clean() -> dict[str, str]:
    """This process's variables, without those that change what a program does."""
    ours = ("PIERHEAD_", "OTEL_", "DOCKER_", "HELM_", "XDG_", "MAKE", "MFLAGS", "ARGS")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _apart(scratch: Path) -> dict[str, str]:
    """Where programs keep what they remember."""
    folders = [str(Path(sys.executable).parent), str(components.TOOLS / "bin"), os.environ.get("PATH", os.defpath)]
    return {
        "PATH": os.pathsep.join([*folders, *components.SYSTEM_FOLDERS]),
        "HOME": f"{scratch}/home",
        "COLUMNS": "80",
        "XDG_RUNTIME_DIR": f"{scratch}/home",
        "CONTAINERS_STORAGE_CONF": f"{scratch}/storage.conf",
    }
