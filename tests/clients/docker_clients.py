"""The docker CLIs of this machine: Debian's, and a newer one where there is one."""

import os
import shutil
from pathlib import Path

from tests import components
from tests.clients.dockerd import Dockerd
from tests.clients.programs import Program, environment

PLACES = ("/usr/local/bin/docker", "/usr/bin/docker")


def paths() -> list[str]:
    """Each CLI once; without any, the name, which `components` then misses."""
    candidates = [*PLACES, shutil.which("docker") or ""]
    found = {os.path.realpath(place): place for place in reversed(candidates) if place and Path(place).exists()}
    return sorted(found.values()) or ["docker"]


def docker(path: str, home: Path, daemon: Dockerd) -> Program:
    found = Path(path) if "/" in path else components.require(path)
    return Program(
        found, environment(home, DOCKER_HOST=daemon.address, DOCKER_CONFIG=str(home / ".docker")), folder=home
    )
