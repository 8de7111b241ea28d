"""Pushes over TLS, with clients that check the certificate, and which of them speak HTTP/2.

Debian 12's dockerd and skopeo offer no ALPN, hence HTTP/1.1; crane, oras and regctl take h2.
"""

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests import components
from tests.clients import docker_clients, exactness
from tests.clients.certificates import Certificate, certificate
from tests.clients.dockerd import Dockerd
from tests.clients.image import Image
from tests.clients.programs import program, said
from tests.running import Running, serving

USER, PASSWORD = "admin", "correct horse"
HTTP2 = "http2: Transport"  # what Go's GODEBUG=http2debug=1 says of such a connection


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, outer_address: str | None) -> Certificate:
    return certificate(tmp_path_factory.mktemp("tls"), *([outer_address] if outer_address else []))


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, signed: Certificate) -> Iterator[Running]:
    """On every address, hence with an account."""
    folder = tmp_path_factory.mktemp("secure")
    program("htpasswd", folder)("-c", "-i", folder / "auth", USER, stdin=PASSWORD.encode())
    arguments = ("--host", "0.0.0.0", "--workers", "2", "--htpasswd", str(folder / "auth"))
    with serving(folder / "data", *arguments, *signed.arguments) as server:
        yield server


@pytest.fixture(scope="module")
def reader(secure: Running, signed: Certificate) -> Iterator[httpx.Client]:
    context = ssl.create_default_context(cafile=signed.path)
    with httpx.Client(base_url=secure.url, auth=(USER, PASSWORD), verify=context, http2=True) as client:
        yield client


@pytest.fixture(params=docker_clients.paths())
def docker_path(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_docker_pushes_and_pulls_with_the_authority_in_certs_d(
    docker_path: str, tmp_path: Path, *, dockerd: Dockerd, secure: Running, signed: Certificate,
    reader: httpx.Client, image: Image,
) -> None:  # fmt: skip
    docker = docker_clients.docker(docker_path, tmp_path, dockerd)
    dockerd.trust(secure.host, signed.path)
    name = f"{secure.host}/tls/docker:1"
    docker("login", "--username", USER, "--password-stdin", secure.host, stdin=PASSWORD.encode())
    docker("load", "--input", image.archive)
    docker("tag", image.name, name)
    docker("push", name)
    docker("rmi", name)
    docker("pull", name)
    docker("rmi", name)

    exactness.read(reader, "tls/docker", "1")


def test_docker_checks_the_certificate_where_the_registry_is_not_on_loopback(
    docker_path: str, tmp_path: Path, *, dockerd: Dockerd, secure: Running, signed: Certificate,
    reader: httpx.Client, image: Image, outer_address: str | None,
) -> None:  # fmt: skip
    if outer_address is None:
        components.missing("this machine has no address but loopback, which docker trusts unseen")
    docker = docker_clients.docker(docker_path, tmp_path, dockerd)
    host = f"{outer_address}:{secure.host.partition(':')[2]}"
    name = f"{host}/tls/checked:1"
    login = ("login", "--username", USER, "--password-stdin", host)
    dockerd.distrust(host)
    refused = docker.refused(*login, stdin=PASSWORD.encode())
    dockerd.trust(host, signed.path)
    docker(*login, stdin=PASSWORD.encode())
    docker("load", "--input", image.archive)
    docker("tag", image.name, name)
    docker("push", name)
    docker("rmi", name)
    docker("pull", name)
    docker("rmi", name)

    assert "x509" in refused
    exactness.read(reader, "tls/checked", "1")


def test_crane_checks_the_certificate_and_speaks_http2(
    tmp_path: Path, secure: Running, signed: Certificate, reader: httpx.Client, image: Image
) -> None:
    stranger = program("crane", tmp_path)
    crane = program("crane", tmp_path, SSL_CERT_FILE=str(signed.path), GODEBUG="http2debug=1")
    login = ("auth", "login", secure.host, "--username", USER, "--password-stdin")
    crane(*login, stdin=PASSWORD.encode())
    name = f"{secure.host}/tls/crane:1"
    refused = stranger.refused("push", image.layout, name)
    pushed = crane.attempt("push", image.layout, name)

    assert "x509" in refused
    assert pushed.returncode == 0, said(pushed)[-4000:]
    assert HTTP2 in said(pushed)
    assert exactness.read(reader, "tls/crane", "1").digest == image.digest


def test_skopeo_checks_the_certificate_and_pushes_and_pulls(
    tmp_path: Path, secure: Running, signed: Certificate, reader: httpx.Client, image: Image
) -> None:
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / "ca.crt").write_bytes(signed.path.read_bytes())
    skopeo = program("skopeo", tmp_path)
    credentials = f"{USER}:{PASSWORD}"
    name = f"docker://{secure.host}/tls/skopeo:1"
    refused = skopeo.refused("copy", "--dest-creds", credentials, f"oci:{image.layout}:latest", name)
    trusted = ("--dest-creds", credentials, "--dest-cert-dir", folder)
    skopeo("copy", *trusted, f"oci:{image.layout}:latest", name)
    skopeo("copy", "--src-creds", credentials, "--src-cert-dir", folder, name, f"oci:{tmp_path}/back:latest")

    assert "x509" in refused
    assert exactness.read(reader, "tls/skopeo", "1").digest == image.digest


def test_regctl_and_oras_copy_over_tls(
    tmp_path: Path, secure: Running, signed: Certificate, reader: httpx.Client, image: Image
) -> None:
    host = f"reg={secure.host},user={USER},pass={PASSWORD}"
    regctl = program("regctl", tmp_path, SSL_CERT_FILE=str(signed.path))
    regctl("image", "copy", "--host", host, f"ocidir://{image.layout}:latest", f"{secure.host}/tls/regctl:1")
    oras = program("oras", tmp_path, GODEBUG="http2debug=1")
    account = ("--to-username", USER, "--to-password", PASSWORD, "--to-ca-file", signed.path)
    copied = oras.attempt("cp", *account, "--from-oci-layout", f"{image.layout}:latest", f"{secure.host}/tls/oras:1")

    assert copied.returncode == 0, said(copied)[-4000:]
    assert HTTP2 in said(copied)
    assert exactness.read(reader, "tls/regctl", "1").digest == image.digest
    assert exactness.read(reader, "tls/oras", "1").digest == image.digest


def test_containerd_pushes_and_pulls_over_tls(
    containerd: str, tmp_path: Path, *, secure: Running, signed: Certificate, reader: httpx.Client, image: Image
) -> None:
    ctr = program("ctr", tmp_path, "--address", containerd, "--namespace", "tls")
    # ctr, not the daemon, speaks to the registry; without a hosts.toml it takes loopback for plain HTTP.
    hosts = tmp_path / "hosts" / secure.host
    hosts.mkdir(parents=True)
    (hosts / "hosts.toml").write_text(f'[host."{secure.url}"]\nca = "{signed.path}"\n')
    trusted = ("--user", f"{USER}:{PASSWORD}", "--hosts-dir", hosts.parent)
    archive = tmp_path / "layout.tar"
    program("tar", tmp_path)("-C", image.layout, "-cf", archive, ".")
    ctr("images", "import", "--snapshotter", "native", "--base-name", f"{secure.host}/tls/ctr", archive)
    ctr("images", "push", *trusted, f"{secure.host}/tls/ctr:latest")
    ctr("images", "rm", "--sync", f"{secure.host}/tls/ctr:latest")
    ctr("images", "pull", "--snapshotter", "native", *trusted, f"{secure.host}/tls/ctr:latest")

    assert exactness.read(reader, "tls/ctr", "latest").digest == image.digest
