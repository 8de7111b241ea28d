"""Other people's programs, run with a home of their own so that nothing of a person's is read or changed."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests import components

SECONDS = 55
# What of the surroundings would reach a client past its own home.
DROPPED = (
    "DOCKER_",
    "REGISTRY_",
    "REGCTL_",
    "HELM_",
    "BUILDAH_",
    "CONTAINER",
    "XDG_",
    "http_",
    "https_",
    "HTTP_",
    "HTTPS_",
)


@dataclass(frozen=True, slots=True)
class Program:
    """Called with arguments, it runs to its end and gives what it wrote to standard output."""

    path: Path
    environment: Mapping[str, str]
    options: tuple[str, ...] = ()  # those that stand before the command
    folder: Path | None = field(default=None, kw_only=True)

    def __call__(self, *arguments: str | Path, stdin: bytes = b"") -> str:
        ran = self.attempt(*arguments, stdin=stdin)
        assert ran.returncode == 0, f"{self.path.name} {' '.join(map(str, arguments))}:\n{said(ran)}"
        return ran.stdout.decode()

    def refused(self, *arguments: str | Path, stdin: bytes = b"") -> str:
        """Runs what has to fail and gives what it said."""
        ran = self.attempt(*arguments, stdin=stdin)
        assert ran.returncode != 0, f"{self.path.name} {' '.join(map(str, arguments))} succeeded:\n{said(ran)}"
        return said(ran)

    def attempt(self, *arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [self.path, *self.options, *arguments],
            env=self.environment,
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )


def said(ran: subprocess.CompletedProcess[bytes]) -> str:
    return (ran.stdout + ran.stderr).decode(errors="replace")


def program(name: str, home: Path, *options: str, **variables: str) -> Program:
    """The program as `components` finds it, or the end of the test."""
    return Program(components.require(name), environment(home, **variables), options, folder=home)


def environment(home: Path, **variables: str) -> dict[str, str]:
    folders = {"HOME": home, "XDG_RUNTIME_DIR": home / "run", "TMPDIR": home / "tmp"}
    for folder in folders.values():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(DROPPED)}
    path = os.pathsep.join([kept.get("PATH", os.defpath), *components.SYSTEM_FOLDERS])
    return kept | {name: str(folder) for name, folder in folders.items()} | {"PATH": path, "NO_PROXY": "*"} | variables
