"""What a check found, one thing after another, and what became of each."""

from dataclasses import dataclass, field
from typing import Literal

from pierhead.models import Digest

Kind = Literal["blob", "manifest", "hold", "part", "list"]
# found: nobody was to repair it. unread: the store failed, so that nobody knows. set aside: not served until it is
# pushed again. Those three are left; the others are well now.
Outcome = Literal["found", "unread", "set aside", "repaired", "sound after all"]
LEFT = ("found", "unread", "set aside")

CLEAN, DAMAGED, REPAIRED = 0, 1, 3


@dataclass(frozen=True, slots=True)
class Finding:
    kind: Kind
    what: str  # a digest, with its repository where it is about that
    wrong: str
    outcome: Outcome = "found"
    repositories: tuple[str, ...] = ()  # some that hold it

    def __str__(self) -> str:
        held = f" [{', '.join(self.repositories)}]" if self.repositories else ""
        became = "" if self.outcome == "found" else f": {self.outcome}"
        return f"{self.kind} {self.what}: {self.wrong}{held}{became}"


@dataclass(frozen=True, slots=True)
class Orphan:
    """Bytes that no row names."""

    key: str
    size: int
    age: int  # seconds
    digest: Digest | None = None  # that the store knows it by
    removed: bool = False

    def __str__(self) -> str:
        return f"orphan {self.key}: {self.size} bytes, no row names it{': removed' if self.removed else ''}"


@dataclass(slots=True)
class Report:
    blobs: int = 0
    bytes: int = 0
    manifests: int = 0
    findings: list[Finding] = field(default_factory=list)
    orphans: list[Orphan] = field(default_factory=list)

    @property
    def left(self) -> list[Finding]:
        """What is still wrong."""
        return [one for one in self.findings if one.outcome in LEFT]

    @property
    def code(self) -> int:
        """As a program ends: nothing was wrong, something still is, or all of it is well now."""
        if not self.findings:
            return CLEAN
        return DAMAGED if self.left else REPAIRED
