"""The file of accounts: parsed, re-read when it changes, and never replaced by a broken one."""

import logging
import os
import time
from collections import Counter
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from pierhead.access.hashes import Kind, cost_of, kind_of
from pierhead.errors import ConfigurationError

logger = logging.getLogger("pierhead.access")

CHECK_SECONDS = 1.0
# A file changed so shortly before it was read may change again without a new time stamp.
_SETTLED_NANOSECONDS = 2_000_000_000
_LARGEST_FILE = 64 * 1024 * 1024  # bytes
_MISTAKES_TOLD = 20
_FORMATS = "bcrypt, apr1, {SHA}, SHA-256 and SHA-512 crypt, argon2"

_Signature = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Account:
    hashed: str
    kind: Kind

    def __repr__(self) -> str:
        return f"Account({self.kind.name}, ***)"

    @property
    def version(self) -> int:
        """Another number for another password, which tells nothing of either."""
        return int.from_bytes(blake2b(self.hashed.encode(), digest_size=7, person=b"htpasswd").digest())

    def accepts(self, password: bytes) -> bool:
        """Slow: runs in a thread."""
        # No such password can be typed into htpasswd, and C libraries end at the NUL.
        return b"\0" not in password and self.kind.check(password, self.hashed)


@dataclass(frozen=True, slots=True)
class Accounts:
    """One reading of the file."""

    by_name: dict[str, Account]
    # Checked, in vain, for a name that is unknown, so that its refusal takes as long as another's.
    decoy: Account | None


def parse(text: str) -> Accounts:
    """Raises ConfigurationError, with line numbers and never the content of a line."""
    by_name: dict[str, Account] = {}
    mistakes: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, mistake, account = _parse_line(line.rstrip())
        if account is None:
            mistakes.append(f"line {number}: {mistake}")
        elif name in by_name:
            mistakes.append(f"line {number}: this name stands in the file twice")
        else:
            by_name[name] = account
    if mistakes:
        more = len(mistakes) - _MISTAKES_TOLD
        raise ConfigurationError(mistakes[:_MISTAKES_TOLD] + ([f"and {more} more"] if more > 0 else []))
    return Accounts(by_name, _decoy(list(by_name.values())))


def _parse_line(line: str) -> tuple[str, str, Account | None]:
    name, colon, rest = line.partition(":")
    # Like Apache, whatever follows a second colon is not the hash's.
    hashed = rest.partition(":")[0].strip()
    if not (colon and name and hashed):
        return name, "NAME:HASH is expected", None
    if not name.isprintable():
        return name, "the name holds characters that cannot be printed", None
    kind = kind_of(hashed)
    if kind is None:
        return name, f"no hash that can be checked; known are {_FORMATS} (plain text and DES are refused)", None
    return name, "", Account(hashed, kind)


def _decoy(accounts: list[Account]) -> Account | None:
    if not accounts:
        return None
    [(cost, _)] = Counter(cost_of(account.hashed) for account in accounts).most_common(1)
    return next(account for account in accounts if cost_of(account.hashed) == cost)


class AccountsFile:
    """The accounts as the file has them, at most a second late."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigurationError where the file cannot be read or has mistakes."""
        self._path = path
        self._text = ""
        self._signature: _Signature | None = None
        self._complaint = ""
        self._look_again = 0.0
        self._accounts = self._read()

    def current(self) -> Accounts:
        """A new object whenever the file has changed. Cheap: looks at the file once a second."""
        now = time.monotonic()
        if now >= self._look_again:
            self._look_again = now + CHECK_SECONDS
            self._refresh()
        return self._accounts

    def _refresh(self) -> None:
        try:
            if _signature(self._path) != self._signature:
                self._accounts = self._read()
            self._complaint = ""
        except OSError as error:
            self._complain([error.strerror or "cannot be read"])
        except ConfigurationError as error:
            self._complain(error.mistakes)

    def _complain(self, mistakes: list[str]) -> None:
        complaint = "; ".join(mistakes)
        if complaint != self._complaint:
            logger.error("accounts unchanged, the new file is broken: %s", complaint)
            self._complaint = complaint

    def _read(self) -> Accounts:
        try:
            signature = _signature(self._path)
            text = self._text_of_file()
        except OSError as error:
            raise ConfigurationError([f"{self._path}: cannot be read: {error.strerror}"]) from error
        settled = time.time_ns() - signature[0] > _SETTLED_NANOSECONDS
        # `htpasswd` empties the file before it writes it: believed only when it stays so.
        unchanged = text == self._text or not (text or settled)
        accounts = self._accounts if self._text and unchanged else self._parsed(text)
        if self._text and not unchanged:
            logger.info("accounts read again: %d in %s", len(accounts.by_name), self._path)
        self._text = self._text if unchanged else text
        self._signature = signature if settled else None
        return accounts

    def _text_of_file(self) -> str:
        with self._path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise ConfigurationError([f"{self._path}: is larger than {_LARGEST_FILE} bytes"])
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ConfigurationError([f"{self._path}: is not UTF-8"]) from error

    def _parsed(self, text: str) -> Accounts:
        try:
            return parse(text)
        except ConfigurationError as error:
            raise ConfigurationError([f"{self._path}: {mistake}" for mistake in error.mistakes]) from error


def _signature(path: Path) -> _Signature:
    # `stat` follows links: a swapped symlink, as Kubernetes does it, has another inode behind it.
    status = os.stat(path)  # noqa: PTH116 - a third of Path.stat's cost, on the way of every request
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev
