"""The official conformance program through the balancer: whichever node answers, nothing fails, nothing is skipped."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import components
from tests.cluster.topology import Shared, cluster
from tests.test_conformance import LEAST_CHECKS, SPARSE, read_statuses, read_totals, run


@pytest.mark.parametrize("version", ["1.1", "dev"])
def test_the_official_program_finds_nothing_to_object_to_in_a_cluster(
    version: str, shared: Shared, tmp_path: Path, announce: Callable[[str], None]
) -> None:
    program = components.require("conformance")

    with cluster(tmp_path / "nodes", shared) as whole:
        output = run(program, whole.balancer, tmp_path, version=version, sparse=False)
    statuses = read_statuses(tmp_path / "results/results.yaml", version=version, sparse=False)
    totals = read_totals(tmp_path / "results/junit.xml")

    announce(
        f"conformance {version}, three nodes behind a balancer: "
        f"{totals.checks} checks, {totals.failures} failures, {totals.skips} skips"
    )
    assert {name: status for name, status in statuses.items() if status != "Pass"} == {SPARSE: "Disabled"}, output
    assert (totals.failures, totals.skips) == (0, 0), output
    assert totals.checks >= LEAST_CHECKS
