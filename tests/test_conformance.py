"""The official conformance program against a real server: nothing fails, nothing is skipped.

A configuration error of that program exits 0, so what is believed is the two files it writes.
"""

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests import components
from tests.running import serving

# The switches that are off by default in 1.1, and what they are called in results.yaml.
SWITCHES = {
    "OCI_API_BLOBS_DIGEST_HEADER": "digestHeader",
    "OCI_API_BLOBS_MOUNT_ANONYMOUS": "mountAnonymous",
    "OCI_API_BLOBS_UPLOAD_CANCEL": "uploadCancel",
    "OCI_API_MANIFESTS_DIGEST_HEADER": "digestHeader",
    "OCI_API_MANIFESTS_TAG_PARAM": "tagParam",
}
SPARSE = "Sparse Manifests"
LEAST_CHECKS = 986  # as many as the pinned version of the program makes without sparse manifests


@dataclass(frozen=True, slots=True)
class Totals:
    """What junit.xml counts. `cases` are the leaves; `checks` also counts the groups around them."""

    checks: int
    cases: int
    failures: int
    skips: int


@pytest.fixture
def environment(request: pytest.FixtureRequest, sparse: bool, database: str) -> dict[str, str]:
    settings = {"PIERHEAD_MANIFESTS_ALLOW_SPARSE": str(sparse).lower()}
    if database == "postgresql":
        settings["PIERHEAD_DATABASE_URL"] = request.getfixturevalue("at_postgresql")
    return settings


@pytest.mark.parametrize(
    ("version", "sparse", "database"),
    [("1.1", False, "sqlite"), ("dev", False, "sqlite"), ("dev", True, "sqlite"), ("1.1", False, "postgresql")],
)
def test_the_official_program_finds_nothing_to_object_to(
    version: str, sparse: bool, environment: dict[str, str], tmp_path: Path, announce: Callable[[str], None]
) -> None:
    program = components.require("conformance")

    with serving(tmp_path / "data", environment=environment) as server:
        output = run(program, server.host, tmp_path, version=version, sparse=sparse)
    statuses = read_statuses(tmp_path / "results/results.yaml", version=version, sparse=sparse)
    totals = read_totals(tmp_path / "results/junit.xml")

    announce(
        f"conformance {version}{' sparse' if sparse else ''}{' on PostgreSQL' if len(environment) > 1 else ''}: "
        f"{totals.checks} checks, {totals.failures} failures, {totals.skips} skips"
    )
    unwanted = {name: status for name, status in statuses.items() if status != "Pass"}
    assert unwanted == ({} if sparse else {SPARSE: "Disabled"}), output
    assert (totals.failures, totals.skips) == (0, 0), output
    assert totals.checks >= LEAST_CHECKS


def run(program: Path, host: str, folder: Path, *, version: str, sparse: bool) -> str:
    """Runs the program and returns what it printed; its exit code says nothing."""
    settings = dict.fromkeys(SWITCHES, "true") | {
        "OCI_REGISTRY": host,
        "OCI_TLS": "disabled",
        "OCI_REPO1": "conformance/one",
        "OCI_REPO2": "conformance/two",
        "OCI_VERSION": version,
        "OCI_DATA_SPARSE": str(sparse).lower(),
        "OCI_RESULTS_DIR": "results",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OCI_")}
    # Run in a folder of its own: the program also reads ./oci-conformance.yaml.
    ran = subprocess.run(
        [program],
        cwd=folder,
        env=inherited | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    return ran.stdout[-8000:]


def read_statuses(path: Path, *, version: str, sparse: bool) -> dict[str, str]:
    """Each API and each kind of content with its status; checks that the settings were understood."""
    config, _, results = path.read_text().partition("\napis:\n")
    assert re.search(rf'^  version: "?{re.escape(version)}"?$', config, re.MULTILINE), config
    assert re.search(rf"^    sparse: {str(sparse).lower()}$", config, re.MULTILINE), config
    for switch in SWITCHES.values():
        assert f"{switch}: true" in config
        assert f"{switch}: false" not in config
    statuses = dict(re.findall(r"^  ([^:\n]+): (\w+)$", results, re.MULTILINE))
    assert {"Ping", "Referrers", "Tag listing", "Manifest put with tag params", SPARSE} <= statuses.keys()
    return statuses


def read_totals(path: Path) -> Totals:
    suites = ET.parse(path).getroot()  # noqa: S314  written just now by a program that we built
    suite = suites.find("testsuite")
    assert suite is not None
    counted = {name: int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped", "disabled")}
    statuses = [case.get("status") for case in suite.iter("testcase")]
    totals = Totals(
        checks=counted["tests"],
        cases=len(statuses),
        failures=counted["failures"] + counted["errors"],
        skips=counted["skipped"] + counted["disabled"],
    )
    assert totals.cases > 0
    # What was turned off by the configuration has no case at all, so every case there is must have passed.
    assert set(statuses) == {"passed"} or totals.failures or totals.skips
    return totals
