"""Every command that the documentation shows is run, and gives what the page says it gives."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import components, images
from tests.clients.dockerd import Dockerd
from tests.clients.dockerd import dockerd as run_dockerd
from tests.docs import pages
from tests.docs.pages import Command, NotRun
from tests.docs.stage import Stage, reads
from tests.running import free_port
from tests.servers.oidc import Server as Issuers
from tests.servers.postgresql import Cluster
from tests.servers.s3 import Server
from tests.servers.slapd import Server as Directory
from tests.servers.slapd import slapd

CLIENTS = (
    "docker",
    "podman",
    "skopeo",
    "crane",
    "oras",
    "regctl",
    "helm",
    "htpasswd",
    "ldapadd",
    "openssl",
    "sqlite3",
    "nginx",
)
# Shown for completeness; a machine without it skips the page, even where the others are required.
OPTIONAL = ("nginx", "sqlite3")
# What changes the machine itself, and nothing else.
NOT_RUN_MAX = 8
OF_THE_MACHINE = re.compile(r"systemctl|useradd|journalctl|/opt/pierhead/bin/pip|update-ca-certificates")

WITH_COMMANDS = [page for page in pages.PAGES if any(isinstance(step, Command) for step in pages.steps(page))]


@pytest.fixture(scope="session")
def shown_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stands in for the image that a reader pulls from a public registry."""
    folder = tmp_path_factory.mktemp("shown-images")
    layer = images.busybox_rootfs_tar(folder / "layer.tar")
    images.docker_archive(folder / "busybox.tar", [layer], reference="busybox:latest")
    images.oci_layout(folder / "busybox", [layer])
    return folder


@pytest.fixture(scope="session")
def dockerd() -> Iterator[Dockerd]:
    with run_dockerd() as daemon:
        yield daemon


@pytest.fixture
def environment(page: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    """The variables that a page's clients need; ends the test where one of them is missing."""
    shown = "\n".join(step.text for step in pages.steps(page) if isinstance(step, Command))
    for client in CLIENTS:
        if re.search(rf"(^|[|(&] *|sudo ){client} ", shown, re.MULTILINE):
            if client in OPTIONAL and components.find(client) is None:
                pytest.skip(f"{client} is not installed")
            components.require(client)
    if not re.search(r"^docker ", shown, re.MULTILINE):
        return {}
    daemon: Dockerd = request.getfixturevalue("dockerd")
    return {"DOCKER_HOST": daemon.address}


@pytest.fixture
def directory() -> Iterator[Directory]:
    with slapd() as server:
        yield server


@pytest.fixture
def names(page: Path, environment: dict[str, str], request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """What stands in for the servers that a page speaks of."""
    text = page.read_text()
    found: dict[str, str] = {}
    if "s3.example.org" in text or "http://localhost:9000" in text:
        server: Server = request.getfixturevalue("s3")
        bucket = server.bucket()
        found |= {"s3": bucket.endpoint, "bucket": bucket.name, "key": bucket.keys.access, "secret": bucket.keys.secret}
        environment |= {"AWS_ACCESS_KEY_ID": bucket.keys.access, "AWS_SECRET_ACCESS_KEY": bucket.keys.secret}
    if "ldap.example.org" in text:
        directory: Directory = request.getfixturevalue("directory")
        found |= {"ldap": str(directory.port), "ldaps": str(directory.tls_port)}
        found |= {"ldap_ca": str(directory.authority), "ldap_stranger": str(directory.stranger)}
    if "https://sso.example.org" in text or "https://token.actions.githubusercontent.com" in text:
        issuers: Issuers = request.getfixturevalue("oidc")
        assert issuers.second.certificate
        found |= {"issuer": issuers.first.url, "issuer_tls": issuers.second.url, "proxy": str(free_port())}
        found |= {"issuer_ca": str(issuers.second.certificate.path)}
        environment |= {"ID_TOKEN": issuers.first.workflow_token(f"https://localhost:{found['proxy']}")}
    if "10.0.0.12:5000" in text:
        found |= {"second": str(free_port()), "third": str(free_port())}
    if "db.example.org" not in text:
        yield found
        return
    cluster: Cluster = request.getfixturevalue("postgresql")
    with cluster.database("moved-to") as url:
        yield found | {"cluster": cluster.url(), "database": str(cluster.port), "moved_to": url.partition("://")[2]}


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=pages.name)
def test_its_commands_do_what_the_page_says(
    page: Path, shown_images: Path, environment: dict[str, str], names: dict[str, str], tmp_path: Path
) -> None:
    stage = Stage(tmp_path, shown_images, environment, **names)
    try:
        for step in pages.steps(page):
            stage.take(step)
    finally:
        stage.close()


def test_only_what_changes_the_machine_is_not_run() -> None:
    not_run = [
        (pages.name(page), step) for page in pages.PAGES for step in pages.steps(page) if isinstance(step, NotRun)
    ]

    assert [page for page, step in not_run if not OF_THE_MACHINE.search(step.text)] == []
    assert len(not_run) <= NOT_RUN_MAX
    assert all(step.reason for _, step in not_run)


@pytest.mark.parametrize(
    ("actual", "shown", "same"),
    [
        ("one\ntwo\n", "one\ntwo", True),
        ("one\ntwo\n", "one", False),
        ("one\ntwo\nthree\n", "one\n…", True),
        ("one\n", "one\n…", True),
        ("one\ntwo\n", "…\ntwo", True),
        ("two\n", "…\ntwo", True),
        ("id 4711 (done)\n", "id … (done)", True),
    ],
)
def test_an_ellipsis_stands_for_anything(actual: str, shown: str, same: bool) -> None:
    assert reads(actual, shown) is same


def test_a_page_is_read_step_by_step(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Write `a.toml`:\n\n```toml a.toml\nx = 1\n```\n\n```console\n$ one \\\n    more\nsays\n$ two\n```\n\n"
        "<!-- ctrl-c -->\n\n<!-- fails -->\n```sh\nthree\n```\n\n<!-- not run: why -->\n```sh\nfour\n```\n"
    )

    assert pages.steps(page) == [
        pages.File("a.toml", "x = 1\n"),
        Command("one \\\n    more", "says"),
        Command("two"),
        pages.Stop(),
        Command("three\n", fails=True),
        NotRun("why", "four\n"),
    ]
