"""Programs that tests run against: other people's clients, servers and tools.

A test asks by name and gets a path. What is missing fails under CI and skips on a
person's machine, each time with one line that says how to get it.
"""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

TOOLS = Path(os.environ.get("PIERHEAD_TOOLS") or Path.home() / ".cache/pierhead/tools")
# dockerd, nginx and runc live where only root's PATH looks.
SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def find(name: str) -> Path | None:
    """The tools' folder goes first: the versions in it are the ones the tests were written against."""
    folders = os.pathsep.join([str(TOOLS / "bin"), os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS])
    found = shutil.which(name, path=folders)
    return Path(found) if found else None


def require(name: str) -> Path:
    return find(name) or missing(f"{name} is not installed: make provision (as root, or it says what to install)")


def missing(what: str) -> NoReturn:
    """End the test for want of `what`, which may be a privilege or a port as well as a program."""
    if os.environ.get("CI") == "true":
        pytest.fail(what, pytrace=False)
    pytest.skip(what)
