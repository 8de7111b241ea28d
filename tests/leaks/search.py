"""Secrets in what our own program wrote: known ones in each of their forms, and those that show by their shape.

Searched are logs, the audit trail's files and the databases of SQLite. Not searched: blobs, and PostgreSQL's own
folders, which are no files of our program (what goes into rows there goes into SQLite's as well).
"""

import base64
import binascii
import json
import os
import re
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

from pierhead.accounts import secret

_KINDS = re.compile(r".*\.log(\.\d+)?|.*\.jsonl|events(\.\d+)?|pierhead\.db(-wal)?|rows\.db(-wal)?")
_FOREIGN = ("blobs", "uploads", "cas", "postgresql")  # large, and nobody's words but the clients'
_SHAPES = b"|".join(
    [
        rb"phd_(pat|robot|refresh)_[0-9]+_[0-9A-Za-z]{49}",
        rb"eyJ[0-9A-Za-z_-]{8,}\.eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{16,}",
        rb"[Aa]uthorization[\"']?[:=] ?[\"']?([Bb]asic|[Bb]earer) [0-9A-Za-z+/=._~-]{8,}",
    ]
)
_HASHES = rb"\$argon2[a-z]*\$[^ ]+|\$2[aby]\$[0-9]+\$[./0-9A-Za-z]{53}"  # at home in databases, and nowhere else
_BATCH = 500  # files that one grep is given


def written(folder: Path) -> Iterator[Path]:
    for where, inner, names in os.walk(folder):
        inner[:] = [name for name in inner if name not in _FOREIGN]
        for name in names:
            path = Path(where, name)
            if _KINDS.fullmatch(name) and path.is_file():
                yield path


def leaks(paths: Collection[Path], passwords: Collection[str]) -> list[str]:
    """What was found, and where."""
    known = {form: password for password in passwords for form in forms(password)}
    if b"" in known or any(b"\n" in form for form in known):
        raise ValueError("that would match everything")
    found = [f"{known[text]!r} in {path}" for path, text in _grep(paths, "-F", b"\n".join(known))]
    shaped = [(path, text) for path, text in _grep(paths, "-E", _SHAPES) if _is_secret(text)]
    shaped += _grep([path for path in paths if not path.suffix.startswith(".db")], "-E", _HASHES)
    return sorted({*found, *(f"{text.decode(errors='replace')} in {path}" for path, text in shaped)})


def forms(password: str) -> Iterator[bytes]:
    """As it is, as an address, a form and JSON have it, and within base64, whatever name stands before it."""
    plain = password.encode()
    yield from (plain, quote(password, safe="").encode(), quote_plus(password).encode())
    yield json.dumps(password)[1:-1].encode()
    for before in range(3):
        # Whole groups of three bytes that are the password's alone: nothing beside it has a part in their digits.
        begin = -before % 3
        whole = plain[begin : begin + (len(plain) - begin) // 3 * 3]
        if len(whole) >= 6:  # eight digits: fewer are found by chance
            yield base64.b64encode(whole)
            yield base64.urlsafe_b64encode(whole)


def _grep(paths: Collection[Path], kind: str, patterns: bytes) -> Iterator[tuple[Path, bytes]]:
    """Each match with its file."""
    names = [str(path) for path in paths]
    for start in range(0, len(names), _BATCH):
        command = ["grep", "--text", "--only-matching", "--with-filename", "--null", kind, "--file=-", "--"]
        some = names[start : start + _BATCH]
        ran = subprocess.run(
            [*command, *some], input=patterns, capture_output=True, check=False, env={**os.environ, "LC_ALL": "C"}
        )
        # 1: nothing found. 2: a file went away meanwhile, as a test's server that still runs may have it.
        assert ran.returncode in (0, 1) or b"No such file" in ran.stderr, ran.stderr
        for line in set(ran.stdout.splitlines()):
            name, _, text = line.partition(b"\0")
            yield Path(os.fsdecode(name)), text


def _is_secret(text: bytes) -> bool:
    """Whether a token is whole, or a JWT has JSON in its head; tests write of others, such as of one cut short."""
    if text.startswith(b"phd_"):
        return secret.read(text.decode()) is not None
    if not text.startswith(b"eyJ"):
        return True
    head = text.partition(b".")[0]
    try:
        return "alg" in json.loads(base64.urlsafe_b64decode(head + b"=" * (-len(head) % 4)))
    except (binascii.Error, ValueError):
        return False
