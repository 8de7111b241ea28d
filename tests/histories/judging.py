"""Whether what many processes did and were told can have been so.

Rules
- What a tag points to, and whether a manifest is there, is a register: see `tests.cluster.register`.
- A manifest that was there, and was still there afterwards, was whole all the while if nobody deleted it meanwhile.
- Who was told of a blob and names it within the lease is not told that it is missing, unless somebody deleted it.
- Bytes are there while their row is; nothing failed for another reason than a refusal that may be.

Pure functions of the records.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pierhead.models import Digest
from tests.cluster.history import THERE, Key
from tests.cluster.register import Read, Value, Write, violations
from tests.histories.player import TAGS, Stage
from tests.histories.records import Act
from tests.histories.works import Catalogue

SLACK = 0.05  # seconds, of the clocks
UNDECIDED = {"Busy", "MetadataUnavailable"}
UNKNOWN = {"ManifestUnknown", "ManifestDeleted", "RepositoryUnknown"}
REFUSALS: dict[str, set[str]] = {
    "head": {"BlobUnknown"},
    "push": set(),
    "mount": set(),
    "put": {"ManifestPartUnknown"},
    "read": UNKNOWN,
    "blob": {"BlobUnknown"},
    "missing": {"there", "gone"},
    "delete tag": UNKNOWN,
    "delete manifest": {*UNKNOWN, "StillNeeded"},
    "delete blob": {"BlobUnknown", "RepositoryUnknown", "StillNeeded"},
    "delete repository": {"RepositoryUnknown"},
    "delete project": {"ProjectUnknown"},
    "restore": {
        "NotInTrash",
        "TimeOver",
        "TagExists",
        "RepositoryInTrash",
        "RepositoryUnknown",
        "NameTaken",
        "ProjectInTrash",
    },
    "rollback": {"RepositoryUnknown", "RepositoryInTrash", "NeverPointedThere", "PointsThere", "BytesGone"},
    "purge": {"NotInTrash"},
    "purge due": set(),
    "collect": set(),
}


@dataclass(frozen=True, slots=True)
class Erasing:
    """When something may have gone; `digests` is None where it was all of the repository."""

    begin: float
    end: float
    digests: frozenset[Digest] | None

    def touches(self, digest: str, begin: float, end: float) -> bool:
        return self.begin <= end and begin <= self.end and (self.digests is None or digest in self.digests)


@dataclass(slots=True)
class Judge:
    """Of one history: the acts in one stage's repositories."""

    stage: Stage
    lease: float
    acts: Sequence[Act]
    works: Catalogue = field(init=False)
    kept: Counter[str] = field(default_factory=Counter)  # what was looked at
    _writes: dict[Key, list[Write]] = field(default_factory=dict)
    _reads: dict[Key, list[Read]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.works = self.stage.works

    def violations(self) -> list[str]:
        for act in self.acts:
            self.kept[f"{act.what}, in doubt" if act.doubt else f"{act.what}: {act.answer}"] += 1
            self._enter(act)
        keys = {**self._writes, **self._reads}
        torn = [
            f"{' '.join(key)}: {found}"
            for key in keys
            for found in violations(self._writes.get(key, []), self._reads.get(key, []))
        ]
        return [*torn, *self._holes(), *self._broken_leases()]

    # The register

    def _enter(self, act: Act) -> None:
        if act.answer in UNDECIDED:
            act.answer = None
        if act.doubt or act.done:
            changes = self._changes(act)
            for key, value, certain in changes:
                write = Write(value, act.begin, act.end, certain=certain and act.done, note=act.what)
                # Twice where it may not have happened: of what is written once the register knows when it was there.
                self._writes.setdefault(key, []).extend([write] if write.certain else [write, write])
        for key, value in self._seen(act):
            self._reads.setdefault(key, []).append(Read(value, act.begin, act.end, act.what))

    def _changes(self, act: Act) -> Iterator[tuple[Key, Value, bool]]:
        """What an act changes, or may change."""
        asked = act.asked
        match act.what:
            case "put":
                yield ("manifest", act.repository, asked["digest"]), THERE, True
                for tag in asked["tags"]:
                    yield ("tag", act.repository, tag), asked["digest"], True
            case "delete tag":
                yield ("tag", act.repository, asked["tag"]), None, True
            case "delete manifest":
                root = Digest(asked["digest"])
                for digest in self.works.belonging(root):
                    yield ("manifest", act.repository, digest), None, digest == root
                for tag in self._tags():
                    yield ("tag", act.repository, tag), None, False
            case "delete repository":
                yield from self._everything(act.repository, value=None, certain=True)
            case "delete project":
                yield from self._everything(*self.stage.repositories, value=None, certain=True)
            case "restore" | "rollback":
                yield from self._restored(act)

    def _restored(self, act: Act) -> Iterator[tuple[Key, Value, bool]]:
        asked = act.asked
        if act.what == "rollback":
            yield ("tag", act.repository, asked["tag"]), asked["digest"], True
            told = act.told or []
        else:
            told = act.told[0] if act.told else []
        for digest in told:
            yield ("manifest", act.repository, digest), THERE, True
        everywhere = asked.get("kind") in ("repository", "project")
        for repository in self.stage.repositories if everywhere else (act.repository,):
            if everywhere or act.doubt:
                yield from self._everything(repository, value=THERE, certain=False)
            for tag in self._tags():
                for digest in self.works.works:
                    yield ("tag", repository, tag), digest, False

    def _everything(self, *repositories: str, value: Value, certain: bool) -> Iterator[tuple[Key, Value, bool]]:
        for repository in repositories:
            for digest in self.works.works:
                yield ("manifest", repository, digest), value, certain
            for tag in self._tags() if value is None else ():
                yield ("tag", repository, tag), None, certain

    def _tags(self) -> list[str]:
        return [*TAGS, *(work.cosign_tag for work in self.works.works.values() if work.cosign_tag)]

    def _seen(self, act: Act) -> Iterator[tuple[Key, Value]]:
        asked = act.asked
        match act.what, act.answer:
            case "read", "done":
                reference = asked["reference"]
                kind = "manifest" if ":" in reference else "tag"
                yield (kind, act.repository, reference), THERE if kind == "manifest" else act.told
            case "read", answer if answer in UNKNOWN:
                reference = asked["reference"]
                yield ("manifest" if ":" in reference else "tag", act.repository, reference), None
            case "delete manifest", ("ManifestUnknown" | "ManifestDeleted"):
                yield ("manifest", act.repository, asked["digest"]), None
            case "put", "ManifestPartUnknown":
                for digest in act.told:
                    if digest in self.works.works:
                        yield ("manifest", act.repository, digest), None

    # The rest

    def _holes(self) -> Iterator[str]:
        for act in self.acts:
            if act.what != "missing" or act.answer != "there":
                continue
            since, asked = act.asked["since"], act.asked
            erasing = list(self._erasing(act.repository))
            if not any(one.touches(asked["digest"], since, act.end) for one in erasing):
                whole = f"{act.repository}@{asked['digest']} was there in {since:.3f}-{act.end:.3f}"
                yield f"{whole}, its {asked['part']} was not"

    def _erasing(self, repository: str | None = None, *, blobs: bool = False) -> Iterator[Erasing]:
        """Of manifests, or of blobs."""
        for act in self.acts:
            if not (act.doubt or act.done) or not act.what.startswith("delete"):
                continue
            if repository not in (None, act.repository) and act.what != "delete project":
                continue
            if act.what in ("delete repository", "delete project"):
                yield Erasing(act.begin, act.end, None)
            elif act.what == "delete manifest" and not blobs:
                yield Erasing(act.begin, act.end, frozenset(self.works.belonging(Digest(act.asked["digest"]))))
            elif act.what == "delete blob" and blobs:
                yield Erasing(act.begin, act.end, frozenset([Digest(act.asked["digest"])]))

    def _broken_leases(self) -> Iterator[str]:
        told: dict[tuple[str, str], list[Act]] = {}
        for act in self.acts:
            if act.what in ("head", "mount", "push") and act.done and act.told != "False":
                told.setdefault((act.repository, act.asked["digest"]), []).append(act)
        for act in self.acts:
            if act.what == "put" and act.done:
                self.kept["put, within the lease"] += self._covered(act, told)
            if act.what != "put" or act.answer != "ManifestPartUnknown":
                continue
            for digest in act.told:
                for early in told.get((act.repository, digest), []):
                    if self._breaks(early, act, digest):
                        yield (
                            f"{act.repository}: {digest} was there ({early.what} in {early.begin:.3f}-{early.end:.3f}),"
                            f" and missing for a manifest in {act.begin:.3f}-{act.end:.3f}"
                        )

    def _breaks(self, early: Act, put: Act, digest: str) -> bool:
        if early.end > put.begin or put.end > early.begin + self.lease - SLACK:
            return False
        erasing = self._erasing(put.repository, blobs=True)
        return not any(one.touches(digest, early.begin, put.end) for one in erasing)

    def _covered(self, put: Act, told: dict[tuple[str, str], list[Act]]) -> bool:
        work = self.works.works[Digest(put.asked["digest"])]
        return all(
            any(
                early.end <= put.begin and put.end <= early.begin + self.lease
                for early in told.get((put.repository, blob), [])
            )
            for blob in work.blobs
        )


def by_stage(acts: Iterable[Act], stages: Iterable[Stage]) -> dict[Stage, list[Act]]:
    """Each stage's own acts."""
    found: dict[Stage, list[Act]] = {stage: [] for stage in stages}
    names = {repository: stage for stage in found for repository in stage.repositories}
    for act in acts:
        if "repository" in act.asked:
            found[names[act.repository]].append(act)
    return found


def failures(acts: Iterable[Act]) -> list[str]:
    """What was answered in a way in which nothing is."""
    return [
        f"{act.what} {act.asked}: {act.answer} {act.told}"
        for act in acts
        if not (act.doubt or act.done or act.answer in UNDECIDED or act.answer in REFUSALS[act.what])
    ]
