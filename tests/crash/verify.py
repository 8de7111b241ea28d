"""Comparing a server with a journal, and its data directory with itself."""

import hashlib
import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import apsw

from tests.crash.journal import Journal, Key, Step, Value
from tests.crash.wire import Wire


class Verifier:
    """Asks a server for what a journal says. Raises NoAnswer, and AssertionError where they differ."""

    def __init__(self, wire: Wire, journal: Journal) -> None:
        self._wire = wire
        self._journal = journal

    def settle(self) -> None:
        """Whether the steps in doubt happened: all that each changes is as before, or all as after."""
        journal = self._journal
        steps = [*journal.undone, *([journal.doubt] if journal.doubt else [])]
        happened = [step for step in steps if self._happened(step)]
        for step in happened:
            journal.apply(step.changes)
        journal.undone = [] if happened else steps
        journal.doubt = None

    def _happened(self, step: Step) -> bool:
        before = {key: self._journal.held.get(key) for key in step.changes}
        found = {key: self.found(key) for key in step.changes}
        assert found in (before, step.changes), f"half of {step.name}: before {before}, found {found}"
        return found != before

    def check(self, keys: Iterable[Key]) -> None:
        for key in keys:
            expected, found = self._journal.held.get(key), self.found(key)
            assert found == expected, f"{key}: {expected} was acknowledged, {found} is there"

    def check_changed(self, chance: random.Random, sample: int) -> None:
        """What changed since the last look, some of the rest, and that the tag lists hold nothing else."""
        rest = [key for key in (*self._journal.held, *self._journal.gone) if key not in self._journal.touched]
        self.check([*self._journal.touched, *chance.sample(rest, min(sample, len(rest)))])
        self._journal.touched.clear()
        self.check_tag_lists()

    def check_all(self) -> None:
        self.check([*self._journal.held, *self._journal.gone])
        self.check_tag_lists()

    def check_tag_lists(self) -> None:
        for repository in {repository for _, repository, _ in self._journal.held}:
            answer = self._wire.ask("GET", f"/v2/{repository}/tags/list")
            listed = json.loads(answer.body)["tags"] if answer.status == 200 else []
            assert listed == sorted(self._journal.names("tag", repository)), repository

    def finish_session(self, repository: str, upload_id: str) -> None:
        """Sends what is missing of a session, and pulls what it became."""
        session = self._journal.sessions[upload_id]
        key = ("upload", repository, upload_id)
        content = self._journal.contents[session.digest].bytes
        path = f"/v2/{repository}/blobs/uploads/{upload_id}?digest={session.digest}"
        answer = self._wire.ask("PUT", path, content[self._journal.held[key] :])
        assert answer.status == 201, f"{path}: {answer.status} {answer.body!r}"
        blob = ("blob", repository, session.digest)
        self._journal.apply({key: None, blob: True})
        self.check([key, blob])

    def found(self, key: Key) -> Value:
        kind, repository, name = key
        if kind == "upload":
            answer = self._wire.ask("GET", f"/v2/{repository}/blobs/uploads/{name}")
            assert answer.status in {204, 404}, f"{key}: {answer.status} {answer.body!r}"
            return answer.offset if answer.status == 204 else None
        where = "blobs" if kind == "blob" else "manifests"
        answer = self._wire.ask("GET", f"/v2/{repository}/{where}/{name}")
        assert answer.status in {200, 404}, f"{key}: {answer.status} {answer.body!r}"
        if answer.status == 404:
            return None
        digest = answer.headers["docker-content-digest"]
        actual = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
        assert actual == digest, f"{key}: {digest} was promised, the bytes have {actual}"
        return digest if kind == "tag" else digest == name or None


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What crashes left in a data directory and nothing names."""

    staged: int  # files of no session
    orphans: int  # finished files of no row
    sessions: int  # rows

    def __str__(self) -> str:
        return f"{self.staged} staged files without a session, {self.orphans} files without a row"


def inspect(data: Path) -> Leftovers:
    """Checks the rows against each other and against the files; for a server that stands still."""
    rows = check_rows(data)
    files = {str(path.relative_to(data / "blobs")): path.stat().st_size for path in data.glob("blobs/*/*/*")}
    rows.require(files)
    staged = [path.name for path in data.glob("uploads/*/*")]
    return Leftovers(
        staged=sum(name.rpartition(".")[0] not in rows.sessions for name in staged),
        orphans=len(files.keys() - rows.blobs.keys()),
        sessions=len(rows.sessions),
    )


@dataclass(frozen=True, slots=True)
class Rows:
    blobs: dict[str, tuple[str, int]]  # digest and size, by key
    beside: dict[str, int]  # sizes of what lies beside the rows, by key
    sessions: set[str]

    def require(self, files: Mapping[str, int]) -> None:
        """That each row has its bytes: one of these files, by key, or what lies beside it."""
        sizes = {**files, **self.beside}
        wrong = {key: size for key, (_, size) in self.blobs.items() if sizes.get(key) != size}
        assert not wrong, f"rows without their bytes: {wrong}"


def check_rows(data: Path) -> Rows:
    """Checks the rows against each other."""
    connection = apsw.Connection(str(data / "pierhead.db"), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        integrity = connection.execute("PRAGMA integrity_check").get
        assert integrity == "ok", integrity
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute(_MISSING_PARTS).fetchall() == []
        assert connection.execute(_HISTORY).fetchall() == []
        found = connection.execute("SELECT key, digest, size FROM blobs").fetchall()
        contents = dict(connection.execute("SELECT digest, content FROM blob_contents"))
        sessions = {str(row[0]) for row in connection.execute("SELECT id FROM uploads").fetchall()}
    finally:
        connection.close()
    false = [digest for digest, content in contents.items() if digest != _digest(digest, content)]
    assert not false, f"contents that are not what their digest says: {false}"
    return Rows(
        blobs={str(key): (str(digest), int(str(size))) for key, digest, size in found},
        beside={f"row:{digest}": len(content) for digest, content in contents.items()},
        sessions=sessions,
    )


def _digest(like: str, content: bytes) -> str:
    algorithm = like.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


# What a manifest refers to and its repository holds neither as a blob nor as a manifest.
_MISSING_PARTS = """
SELECT manifests.digest, manifest_references.digest
  FROM manifest_references JOIN manifests ON manifests.id = manifest_references.manifest_id
 WHERE manifests.trash_id IS NULL
   AND NOT EXISTS (SELECT 1 FROM repository_blobs AS held
                    WHERE held.repository_id = manifests.repository_id AND held.digest = manifest_references.digest)
   AND NOT EXISTS (SELECT 1 FROM manifests AS part
                    WHERE part.repository_id = manifests.repository_id AND part.digest = manifest_references.digest)
"""

# Tags whose latest move does not lead to where they point.
_HISTORY = """
SELECT tags.name, manifests.digest
  FROM tags JOIN manifests ON manifests.id = tags.manifest_id
 WHERE manifests.digest IS NOT (SELECT after FROM tag_history
                                 WHERE tag_history.repository_id = tags.repository_id
                                   AND tag_history.name = tags.name ORDER BY id DESC LIMIT 1)
"""
