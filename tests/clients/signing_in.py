"""The clients that sign in, each with a home of its own, told what to do in the same few words."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.clients import docker_clients, engines
from tests.clients.dockerd import Dockerd
from tests.clients.image import Image
from tests.clients.programs import Program, program

Account = tuple[str, str]  # name and password
Ask = Callable[..., str]
CHART = "pier:0.1.0"


@dataclass(frozen=True, slots=True)
class Client:
    """A program with a home that nobody signed in from yet; `ask` is it, or it where it has to fail."""

    program: Program
    login: Callable[[Ask, str, str], str]  # host, name; the password comes from standard input
    push: Callable[[Ask, str], str]
    pull: Callable[[Ask, str], str]
    logout: Callable[[Ask, str], str]
    looks: bool = True  # whether it asks the registry before it keeps a password
    published: str = "app:1"  # what it can pull
    refusal: str = "wrong name or password"  # what it says of a wrong one
    explains: bool = True  # whether it shows what the registry says of a refusal

    @property
    def does(self) -> Ask:
        return self.program

    @property
    def cannot(self) -> Ask:
        return self.program.refused

    def sign_in(self, host: str, account: Account) -> None:
        self.login(self._typing(account[1], self.does), host, account[0])

    def sign_in_in_vain(self, host: str, account: Account) -> str:
        """What it says, at once or at the next pull of something private."""
        ask = self.cannot if self.looks else self.does
        said = self.login(self._typing(account[1], ask), host, account[0])
        return said if self.looks else self.pull(self.cannot, f"{host}/team/{self.published}")

    def reason(self, told: str) -> str:
        """What it says where the registry told this."""
        return told if self.explains else "unauthorized"

    def _typing(self, password: str, ask: Ask) -> Ask:
        return lambda *arguments: ask(*arguments, stdin=password.encode())


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
        refusal="invalid username/password",
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
        refusal="unauthorized",
        explains=False,
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
        refusal="invalid username/password",
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
        refusal="invalid username/password",
    )


def helm(home: Path, _image: Image, _host: object) -> Client:
    """It pushes and pulls its chart, whatever the last part of the name says."""
    helm = program("helm", home)
    chart = package(helm, home)

    def pull(ask: Ask, name: str) -> str:
        repository, _, version = name.rpartition(":")
        return ask("pull", "--plain-http", f"oci://{repository}", "--version", version, "--destination", home / "tmp")

    return Client(
        helm,
        login=lambda ask, host, name: ask("registry", "login", "--plain-http", "-u", name, "--password-stdin", host),
        push=lambda ask, name: ask("push", "--plain-http", chart, f"oci://{name.rpartition('/')[0]}"),
        pull=pull,
        logout=lambda ask, host: ask("registry", "logout", host),
        published=CHART,
    )


def package(helm: Program, home: Path) -> Path:
    """The chart that `CHART` names."""
    name, _, version = CHART.partition(":")
    helm("create", name)
    helm("package", name, "--version", version)
    return home / f"{name}-{version}.tgz"


def docker(home: Path, image: Image, daemon: Dockerd, path: str | None = None) -> Client:
    docker = docker_clients.docker(path or docker_clients.paths()[-1], home, daemon)
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


CLIENTS: dict[str, Callable[[Path, Image, str], Client]] = {
    "crane": crane,
    "skopeo": skopeo,
    "oras": oras,
    "regctl": regctl,
    "podman": podman,
    "buildah": buildah,
    "helm": helm,
}
