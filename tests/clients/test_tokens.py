"""Signing in by tokens, with each client: private and public repositories, readers, strangers, wrong passwords."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from pierhead.metadata.sqlite import engine
from tests.access.hashed import argon2, fast, write
from tests.clients import docker_clients, engines
from tests.clients.conftest import Image
from tests.clients.dockerd import Dockerd
from tests.clients.programs import Program, program
from tests.running import Running, serving

ADMIN, READER = ("admin", "correct horse"), ("reader", "battery staple")
Ask = Callable[..., str]


@dataclass(frozen=True, slots=True)
class Client:
    """A program with a home that nobody signed in from yet; `ask` is it, or it where it has to fail."""

    program: Program
    login: Callable[[Ask, str, str], str]  # host, name; the password comes from standard input
    push: Callable[[Ask, str], str]
    pull: Callable[[Ask, str], str]
    logout: Callable[[Ask, str], str]
    looks: bool = True  # whether it asks the registry before it keeps a password

    def sign_in(self, host: str, account: tuple[str, str]) -> None:
        self.login(self._typing(account[1], self.program), host, account[0])

    def sign_in_wrongly(self, host: str, name: str) -> None:
        ask = self.program.refused if self.looks else self.program
        self.login(self._typing("wrong", ask), host, name)

    def _typing(self, password: str, ask: Ask) -> Ask:
        return lambda *arguments: ask(*arguments, stdin=password.encode())


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`open` is public, `team` is read by one, and admin has all."""
    folder = tmp_path_factory.mktemp("guarded")
    accounts = write(folder / "auth", fast(*ADMIN))
    with serving(folder / "data", "--workers", "2", "--htpasswd", str(accounts)) as server:
        with httpx.Client(base_url=server.url, auth=ADMIN) as client:
            for project in ("team", "open"):
                client.post(f"/v2/{project}/first/blobs/uploads/?digest={_EMPTY}", content=b"").raise_for_status()
        _add_reader(server)
        yield server


_EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def _add_reader(server: Running) -> None:
    connection = engine.connect(server.data / "pierhead.db")
    connection.execute(
        f"""
        UPDATE projects SET visibility = 'public' WHERE name = 'open';
        INSERT INTO principals (kind, name, source, subject, display, email, groups, made_at)
        VALUES ('user', 'reader', 'local', 'reader', '', '', '[]', 0);
        INSERT INTO passwords (principal_id, hashed, version, changed_at)
        SELECT id, '{argon2(*READER).partition(":")[2]}', 1, 0 FROM principals WHERE name = 'reader';
        INSERT INTO grants (principal_id, role, project_id, made_at, actor)
        SELECT principals.id, 'reader', projects.id, 0, 'test' FROM principals, projects
         WHERE principals.name = 'reader' AND projects.name = 'team';
        """
    )
    connection.close()


@pytest.fixture(scope="module")
def published(guarded: Running, image: Image, home: Path) -> Running:
    """With an image in each project."""
    crane = program("crane", home)
    crane("auth", "login", guarded.host, "-u", ADMIN[0], "-p", ADMIN[1])
    for name in ("team/app:1", "open/app:1"):
        crane("push", image.layout, f"{guarded.host}/{name}")
    return guarded


def crane(home: Path, image: Image, _: object) -> Client:
    return Client(
        program("crane", home),
        login=lambda ask, host, name: ask("auth", "login", host, "-u", name, "--password-stdin"),
        push=lambda ask, name: ask("push", image.layout, name),
        pull=lambda ask, name: ask("pull", name, home / "image.tar"),
        logout=lambda ask, host: ask("auth", "logout", host),
        looks=False,
    )


def skopeo(home: Path, image: Image, _: object) -> Client:
    return Client(
        program("skopeo", home),
        login=lambda ask, host, name: ask("login", "--tls-verify=false", "-u", name, "--password-stdin", host),
        push=lambda ask, name: ask("copy", "--dest-tls-verify=false", f"oci:{image.layout}:latest", f"docker://{name}"),
        pull=lambda ask, name: ask("copy", "--src-tls-verify=false", f"docker://{name}", f"dir:{home / 'image'}"),
        logout=lambda ask, host: ask("logout", host),
    )


def oras(home: Path, image: Image, _: object) -> Client:
    layout = f"{image.layout}:latest"
    return Client(
        program("oras", home),
        login=lambda ask, host, name: ask("login", "--plain-http", "-u", name, "--password-stdin", host),
        push=lambda ask, name: ask("cp", "--from-oci-layout", layout, "--to-plain-http", name),
        pull=lambda ask, name: ask("cp", "--from-plain-http", name, "--to-oci-layout", f"{home / 'image'}:1"),
        logout=lambda ask, host: ask("logout", host),
    )


def regctl(home: Path, image: Image, host: str) -> Client:
    program_ = program("regctl", home)
    program_("registry", "set", "--skip-check", "--tls", "disabled", host)
    return Client(
        program_,
        login=lambda ask, host, name: ask("registry", "login", "-u", name, "--pass-stdin", host),
        push=lambda ask, name: ask("image", "copy", f"ocidir://{image.layout}:latest", name),
        pull=lambda ask, name: ask("image", "copy", name, f"ocidir://{home / 'image'}:1"),
        logout=lambda ask, host: ask("registry", "logout", host),
    )


def podman(home: Path, image: Image, _: object) -> Client:
    podman = engines.podman(home)
    podman("load", "--input", image.archive)
    return Client(
        podman,
        login=lambda ask, host, name: ask("login", "--tls-verify=false", "-u", name, "--password-stdin", host),
        push=lambda ask, name: ask("push", "--tls-verify=false", image.name, name),
        pull=lambda ask, name: ask("pull", "--tls-verify=false", name),
        logout=lambda ask, host: ask("logout", host),
    )


def buildah(home: Path, image: Image, _: object) -> Client:
    buildah = engines.buildah(home)
    buildah("pull", f"docker-archive:{image.archive}")
    return Client(
        buildah,
        login=lambda ask, host, name: ask("login", "--tls-verify=false", "-u", name, "--password-stdin", host),
        push=lambda ask, name: ask("push", "--tls-verify=false", image.name, f"docker://{name}"),
        pull=lambda ask, name: ask("pull", "--tls-verify=false", "--policy", "always", name),
        logout=lambda ask, host: ask("logout", host),
    )


CLIENTS: dict[str, Callable[[Path, Image, str], Client]] = {
    "crane": crane,
    "skopeo": skopeo,
    "oras": oras,
    "regctl": regctl,
    "podman": podman,
    "buildah": buildah,
}


@pytest.fixture(params=[*CLIENTS, "docker"])
def client(request: pytest.FixtureRequest, fresh_home: Path, image: Image, published: Running) -> Client:
    if request.param != "docker":
        return CLIENTS[request.param](fresh_home, image, published.host)
    daemon: Dockerd = request.getfixturevalue("dockerd")
    docker = docker_clients.docker(docker_clients.paths()[-1], fresh_home, daemon)
    docker("load", "--input", image.archive)

    def push(ask: Ask, name: str) -> str:
        docker("tag", image.name, name)
        try:
            return ask("push", name)
        finally:
            docker("rmi", name)

    def pull(ask: Ask, name: str) -> str:
        try:
            return ask("pull", name)
        finally:
            docker.attempt("rmi", name)

    return Client(
        docker,
        login=lambda ask, host, name: ask("login", "-u", name, "--password-stdin", host),
        push=push,
        pull=pull,
        logout=lambda ask, host: ask("logout", host),
    )


def test_everybody_does_what_he_may_and_nothing_else(client: Client, published: Running) -> None:
    host, does, cannot = published.host, client.program, client.program.refused
    private, public = f"{host}/team/app:1", f"{host}/open/app:1"

    client.pull(does, public)
    client.pull(cannot, private)
    client.push(cannot, f"{host}/open/strange:1")
    client.sign_in_wrongly(host, READER[0])
    client.pull(cannot, private)
    client.sign_in(host, READER)
    client.pull(does, private)
    client.push(cannot, f"{host}/team/strange:1")
    client.push(cannot, f"{host}/open/mine:1")
    client.logout(does, host)
    client.pull(cannot, private)
    client.sign_in(host, ADMIN)
    client.push(does, f"{host}/team/{client.program.path.name}:1")
    client.push(does, f"{host}/fresh-{client.program.path.name}/app:1")
    client.pull(does, private)


def test_containerd_signs_in_with_each_request(containerd: str, home: Path, published: Running, image: Image) -> None:
    ctr = program("ctr", home, "--address", containerd)
    name = f"{published.host}/team/app:1"
    pull = ("images", "pull", "--snapshotter", "native", "--plain-http")
    ctr.refused(*pull, name)
    ctr.refused(*pull, "--user", f"{READER[0]}:wrong", name)
    ctr(*pull, f"{published.host}/open/app:1")
    ctr(*pull, "--user", ":".join(READER), name)

    mine = f"{published.host}/team/containerd:1"
    ctr("images", "tag", name, mine)
    ctr.refused("images", "push", "--plain-http", "--user", ":".join(READER), mine)
    ctr("images", "push", "--plain-http", "--user", ":".join(ADMIN), mine)

    digest = httpx.head(f"{published.url}/v2/team/containerd/manifests/1", auth=ADMIN).headers["docker-content-digest"]
    assert digest == image.digest


def test_docker_is_out_when_its_refresh_token_is_revoked(
    dockerd: Dockerd, fresh_home: Path, published: Running
) -> None:
    docker = docker_clients.docker(docker_clients.paths()[-1], fresh_home, dockerd)
    name = f"{published.host}/team/app:1"
    docker("login", "-u", READER[0], "--password-stdin", published.host, stdin=READER[1].encode())
    docker("pull", name)
    docker("rmi", name)

    connection = engine.connect(published.data / "pierhead.db")
    connection.execute("UPDATE tokens SET revoked_at = 1")
    connection.close()

    said = docker.refused("pull", name)
    assert "sign in again" in said or "unauthorized" in said
