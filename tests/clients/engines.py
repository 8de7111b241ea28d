"""buildah and podman with stores of their own, on plain files."""

import resource
from pathlib import Path

from tests.clients.programs import Program, program


def buildah(home: Path) -> Program:
    return program("buildah", home, *_store(home))


def podman(home: Path) -> Program:
    folders = ("--tmpdir", str(home / "libpod"), "--network-config-dir", str(home / "networks"))
    return program("podman", home, *_store(home), *folders)


def within_limits() -> list[str]:
    """Options of `podman run`, whose own limits are higher than a sandbox may set."""
    kinds = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    return [f"--ulimit={name}={_limit(kind)}:{_limit(kind)}" for name, kind in kinds.items()]


def _limit(kind: int) -> int:
    soft, _ = resource.getrlimit(kind)
    return 1024 if soft == resource.RLIM_INFINITY else min(soft, 1024)


def _store(home: Path) -> tuple[str, ...]:
    return ("--root", str(home / "store"), "--runroot", str(home / "runroot"), "--storage-driver", "vfs")
