"""A registry as its documentation tells of it, without rows, locks or bytes: what is visible, in the trash, and stored.

Every act changes the model or raises `Refused` with the name of the refusal. Time is what `now` says.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pierhead.models import Digest
from tests.histories.works import Content, Work, attached_tags


class Refused(Exception):
    """By the class of this name."""

    @property
    def name(self) -> str:
        return str(self.args[0])


@dataclass(slots=True, eq=False)
class Kept:
    """A manifest in a repository, or in its trash."""

    work: Work
    live: bool = True


@dataclass(slots=True)
class Noted:
    """When a blob became unreferenced, and until when somebody counts on it."""

    since: int
    until: int


@dataclass(slots=True, eq=False)
class Repository:
    """One that had a name from its making on; it is in the trash where it is not live."""

    name: str
    here: bool = True
    number: int = 0  # of its row
    held: set[Digest] = field(default_factory=set)
    noted: dict[Digest, Noted] = field(default_factory=dict)
    manifests: dict[Digest, Kept] = field(default_factory=dict)
    tags: dict[str, Digest] = field(default_factory=dict)
    pinned_tags: set[str] = field(default_factory=set)
    pinned: set[Digest] = field(default_factory=set)

    @property
    def live(self) -> dict[Digest, Work]:
        return {digest: kept.work for digest, kept in self.manifests.items() if kept.live}

    def tags_of(self, digest: Digest) -> set[str]:
        return {tag for tag, target in self.tags.items() if target == digest}

    def needs(self, digest: Digest) -> bool:
        """Whether a manifest needs it, one in the trash too."""
        return any(digest in kept.work.needs for kept in self.manifests.values())

    def is_pinned(self, digest: Digest) -> bool:
        return digest in self.pinned or bool(self.tags_of(digest) & self.pinned_tags)


@dataclass(slots=True)
class Model:
    now: int
    lease: int  # microseconds, as all times
    grace: int
    repositories: list[Repository] = field(default_factory=list)  # the deleted ones too
    stored: set[Digest] = field(default_factory=set)  # blobs whose bytes are kept
    projects: set[str] = field(default_factory=set)

    @property
    def here(self) -> list[Repository]:
        return [one for one in self.repositories if one.here]

    def find(self, name: str) -> Repository:
        for repository in self.repositories:
            if repository.name == name and repository.here:
                return repository
        raise Refused("RepositoryUnknown")

    def known(self, name: str) -> Repository | None:
        try:
            return self.find(name)
        except Refused:
            return None

    def ensure(self, name: str) -> Repository:
        found = self.known(name)
        if found is None:
            found = Repository(name)
            self.repositories.append(found)
            self.projects.add(name.partition("/")[0])
        return found

    # Blobs

    def push_blob(self, name: str, content: Content) -> None:
        self.stored.add(content.digest)
        self._hold(self.ensure(name), content.digest)

    def mount(self, name: str, digest: Digest, source: str | None) -> bool:
        sources = [self.known(source)] if source else [one for one in self.repositories if one.here]
        if not any(one and digest in one.held for one in sources):
            return False
        self._hold(self.ensure(name), digest)
        return True

    def head(self, name: str, digest: Digest) -> None:
        repository = self.known(name)
        if repository is None or digest not in repository.held:
            raise Refused("BlobUnknown")
        if not repository.needs(digest):
            self._renew(repository, digest)

    def delete_blob(self, name: str, digest: Digest) -> None:
        repository = self.find(name)
        if digest not in repository.held:
            raise Refused("BlobUnknown")
        if any(digest in work.needs for work in repository.live.values()):
            raise Refused("StillNeeded")
        repository.held.discard(digest)
        self._note(repository, digest)

    def _hold(self, repository: Repository, digest: Digest) -> None:
        if digest in repository.held:
            self._renew(repository, digest)
        else:
            repository.held.add(digest)
            self._note(repository, digest)

    def _note(self, repository: Repository, digest: Digest) -> None:
        repository.noted[digest] = Noted(self.now, self.now + 2 * self.lease)

    def _renew(self, repository: Repository, digest: Digest) -> None:
        noted = repository.noted.get(digest)
        if noted and noted.until - self.now < self.lease:
            noted.until = self.now + 2 * self.lease

    # Manifests and tags

    def put(self, name: str, work: Work, *tags: str) -> None:
        repository = self.known(name) or Repository(name)
        missing = [blob for blob in work.blobs if blob not in repository.held]
        missing += [child for child in work.children if child not in repository.live]
        if missing:
            raise Refused("ManifestPartUnknown")
        for tag in tags:
            self._require_movable(repository, tag, work.digest)
        repository = self.ensure(name)
        repository.manifests.setdefault(work.digest, Kept(work)).live = True
        repository.tags.update(dict.fromkeys(tags, work.digest))

    def _require_movable(self, repository: Repository, tag: str, target: Digest) -> None:
        if tag in repository.pinned_tags and repository.tags.get(tag, target) != target:
            raise Refused("Pinned")

    def delete_tag(self, name: str, tag: str) -> None:
        repository = self.find(name)
        if tag not in repository.tags:
            raise Refused("ManifestUnknown")
        if tag in repository.pinned_tags:
            raise Refused("Pinned")
        del repository.tags[tag]

    def delete_manifest(self, name: str, digest: Digest) -> None:
        repository = self.find(name)
        if digest not in repository.live:
            raise Refused("ManifestUnknown")
        if any(digest in work.children for work in repository.live.values()):
            raise Refused("StillNeeded")
        if repository.is_pinned(digest):
            raise Refused("Pinned")
        for one in self._going(repository, digest):
            repository.manifests[one].live = False
            for tag in repository.tags_of(one):
                del repository.tags[tag]

    def delete_repository(self, name: str) -> None:
        repository = self.find(name)
        if repository.pinned or repository.pinned_tags:
            raise Refused("Pinned")
        repository.here = False

    def delete_project(self, project: str) -> None:
        there = [one for one in self.repositories if one.here and one.name.startswith(f"{project}/")]
        if not there and project not in self.projects:
            raise Refused("ProjectUnknown")
        if any(one.pinned or one.pinned_tags for one in there):
            raise Refused("Pinned")
        self.projects.discard(project)
        for repository in there:
            repository.here = False

    def _going(self, repository: Repository, root: Digest) -> set[Digest]:
        """The manifest with all that nobody wants for its own sake once it is gone."""
        live, going = repository.live, {root}
        while True:
            names = {str(tag) for one in going for tag in attached_tags(one)}
            more = {
                digest
                for digest, work in live.items()
                if digest not in going
                and (
                    any(digest in live[one].children for one in going)
                    or work.subject in going
                    or repository.tags_of(digest) & names
                )
                and not repository.tags_of(digest) - names
                and not any(digest in other.needs for one, other in live.items() if one not in going)
                and not repository.is_pinned(digest)
            }
            if not more:
                return going
            going |= more

    def bring_back(self, repository: Repository, manifests: Iterable[Digest], tags: dict[str, Digest]) -> None:
        """What a restore says that it did."""
        for digest in manifests:
            kept = repository.manifests[digest]
            kept.live = True
            repository.held.update(kept.work.blobs)
        repository.tags.update(tags)

    # Pins

    def pin(self, name: str, tag: str | None, digest: Digest) -> None:
        repository = self.find(name)
        if (tag and tag not in repository.tags) or (not tag and digest not in repository.live):
            raise Refused("ManifestUnknown")
        if tag:
            repository.pinned_tags.add(tag)
        else:
            repository.pinned.add(digest)

    def unpin(self, name: str, tag: str | None, digest: Digest) -> bool:
        repository = self.find(name)
        pins: set[str] = repository.pinned_tags if tag else {*repository.pinned}
        there = (tag or digest) in pins
        repository.pinned_tags.discard(tag or "")
        if not tag:
            repository.pinned.discard(digest)
        return there

    # Collecting

    def collect(self) -> None:
        """All that may go now."""
        unneeded: set[Digest] = set()
        for repository in self.repositories:
            for digest, noted in list(repository.noted.items()):
                if noted.since + self.grace <= self.now and noted.until <= self.now:
                    del repository.noted[digest]
                    if not repository.needs(digest):
                        repository.held.discard(digest)
                        unneeded.add(digest)
        self.stored -= {digest for digest in unneeded if not self._is_wanted(digest)}

    def _is_wanted(self, digest: Digest) -> bool:
        return any(digest in one.held or digest in one.noted or one.needs(digest) for one in self.repositories)

    def forget(self, repository: Repository, digest: Digest) -> None:
        """A manifest whose time in the trash is over."""
        kept = repository.manifests.pop(digest)
        for blob in kept.work.blobs:
            if blob in self.stored:
                self._note(repository, blob)
