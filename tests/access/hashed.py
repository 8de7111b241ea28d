"""Lines of a file of accounts, made by the programs that people make them with."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from argon2 import PasswordHasher

Make = Callable[[str, str], str]


def htpasswd(*flags: str) -> Make:
    def make(name: str, password: str) -> str:
        if not shutil.which("htpasswd"):
            pytest.skip("htpasswd (apache2-utils) is not installed")
        command = ["htpasswd", "-nb", *flags, name, password]
        return subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL).strip()

    return make


def openssl(flag: str) -> Make:
    def make(name: str, password: str) -> str:
        if not shutil.which("openssl"):
            pytest.skip("openssl is not installed")
        return f"{name}:{subprocess.check_output(['openssl', 'passwd', flag, password], text=True).strip()}"

    return make


def argon2(name: str, password: str) -> str:
    return f"{name}:{PasswordHasher(time_cost=1, memory_cost=1024).hash(password)}"


MAKERS: dict[str, Make] = {
    "bcrypt": htpasswd("-B"),
    "bcrypt of a chosen cost": htpasswd("-B", "-C", "4"),
    "apr1": htpasswd("-m"),
    "SHA-1": htpasswd("-s"),
    "SHA-256": htpasswd("-2"),
    "SHA-256 with rounds": htpasswd("-2", "-r", "1234"),
    "SHA-512": htpasswd("-5"),
    "apr1 by openssl": openssl("-apr1"),
    "SHA-256 by openssl": openssl("-5"),
    "SHA-512 by openssl": openssl("-6"),
    "argon2": argon2,
}
fast = MAKERS["bcrypt of a chosen cost"]


def write(path: Path, *lines: str, age: float = 10) -> Path:
    """As if written `age` seconds ago, which is long enough to be settled."""
    path.write_text("".join(f"{line}\n" for line in lines))
    moment = path.stat().st_mtime - age
    os.utime(path, (moment, moment))
    return path
