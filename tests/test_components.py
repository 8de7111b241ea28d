"""What a test meets when the program it needs is there, and when it is not."""

from pathlib import Path

import pytest

from tests import components


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(components, "TOOLS", tmp_path)
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def program(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_program_on_the_path_is_found() -> None:
    assert components.require("sh").name == "sh"


def test_the_tools_folder_goes_before_the_path(tools: Path) -> None:
    ours = program(tools, "sh")

    assert components.require("sh") == ours


def test_a_missing_program_skips_on_a_persons_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)

    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed: make provision"):
        components.require("no-such-program")


def test_a_missing_program_fails_under_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")

    with pytest.raises(pytest.fail.Exception, match="no-such-program is not installed: make provision"):
        components.require("no-such-program")
