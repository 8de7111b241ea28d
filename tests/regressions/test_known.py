"""The table of README.md: the tests that it names exist, and it names all that are in this directory."""

import re
from pathlib import Path

HERE = Path(__file__).parent
_NAMED = re.compile(r"`((?:\.\./)*[\w/]+\.py)::(test_\w+)`")


def defined(path: Path) -> set[str]:
    return set(re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE))


def named() -> set[tuple[Path, str]]:
    found = _NAMED.findall((HERE / "README.md").read_text())
    return {((HERE / path).resolve(), test) for path, test in found}


def test_every_test_that_is_named_exists() -> None:
    assert len(named()) > 50
    assert [f"{path}::{test}" for path, test in sorted(named()) if test not in defined(path)] == []


def test_every_test_of_this_directory_is_named() -> None:
    here = {(path, test) for path in HERE.glob("test_*.py") if path != Path(__file__) for test in defined(path)}

    assert sorted(here - named()) == []


def test_every_line_of_the_table_names_a_test() -> None:
    lines = [line for line in (HERE / "README.md").read_text().splitlines() if line.startswith("| ")]

    assert [line for line in lines if not _NAMED.search(line) and "---" not in line and "| tests |" not in line] == []
