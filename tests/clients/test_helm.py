"""helm: charts as OCI artifacts, with and without an account."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.clients import exactness
from tests.clients.programs import Program, program
from tests.running import Running, serving

USER, PASSWORD = "admin", "correct horse"


@pytest.fixture(scope="module")
def helm(home: Path) -> Program:
    return program("helm", home)


@pytest.fixture(scope="module")
def chart(helm: Program, home: Path) -> Path:
    helm("create", "pier")
    helm("package", "pier", "--version", "1.2.3+build.7")
    return home / "pier-1.2.3+build.7.tgz"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("guarded")
    program("htpasswd", folder)("-c", "-i", folder / "auth", USER, stdin=PASSWORD.encode())
    with serving(folder / "data", "--workers", "1", "--htpasswd", str(folder / "auth")) as server:
        yield server


def test_a_chart_is_pushed_shown_pulled_and_rendered(
    helm: Program, chart: Path, server: Running, client: httpx.Client, tmp_path: Path
) -> None:
    repository = f"oci://{server.host}/charts"
    helm("push", "--plain-http", chart, repository)
    helm("pull", "--plain-http", f"{repository}/pier", "--version", "1.2.3+build.7", "--destination", tmp_path)
    shown = helm("show", "chart", "--plain-http", f"{repository}/pier", "--version", "1.2.3+build.7")
    rendered = helm("template", "rendered", "--plain-http", f"{repository}/pier", "--version", "1.2.3+build.7")

    # A tag has no plus, which helm writes as an underscore.
    held = exactness.read(client, "charts/pier", "1.2.3_build.7")
    assert held.document["config"]["mediaType"] == "application/vnd.cncf.helm.config.v1+json"
    assert (tmp_path / chart.name).read_bytes() == chart.read_bytes()
    assert "version: 1.2.3+build.7" in shown
    assert "kind: Deployment" in rendered


def test_the_newest_version_is_found_among_the_tags(
    helm: Program, chart: Path, home: Path, server: Running, tmp_path: Path
) -> None:
    for version in ("0.9.0", "0.10.0"):
        helm("package", "pier", "--version", version, "--destination", tmp_path)
        helm("push", "--plain-http", tmp_path / f"pier-{version}.tgz", f"oci://{server.host}/versions")
    shown = helm("show", "chart", "--plain-http", f"oci://{server.host}/versions/pier", "--version", "<1")

    assert "version: 0.10.0" in shown


def test_who_logs_in_pushes_and_who_does_not_is_refused(
    helm: Program, chart: Path, guarded: Running, tmp_path: Path
) -> None:
    repository = f"oci://{guarded.host}/charts"
    login = ("registry", "login", "--plain-http", "--username", USER, "--password-stdin", guarded.host)
    stranger = helm.refused("push", "--plain-http", chart, repository)
    wrong = helm.refused(*login, stdin=b"wrong horse")
    helm(*login, stdin=PASSWORD.encode())
    helm("push", "--plain-http", chart, repository)
    helm("pull", "--plain-http", f"{repository}/pier", "--version", "1.2.3+build.7", "--destination", tmp_path)
    helm("registry", "logout", guarded.host)

    assert "401" in stranger or "basic credential not found" in stranger
    assert "401" in wrong
    assert (tmp_path / chart.name).read_bytes() == chart.read_bytes()
    with httpx.Client(base_url=guarded.url, auth=(USER, PASSWORD)) as client:
        exactness.read(client, "charts/pier", "1.2.3_build.7")
