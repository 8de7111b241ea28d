"""The ways back: out of the trash, and to where a tag pointed before. Each is one transaction, and can be undone.

What comes back does so whole: an entry of the trash brings its manifests, with all blobs that they refer to, and its
tags; and from other entries what these manifests list, with what had gone along with that. Tags that exist again
meanwhile are not moved: `rollback` is what moves them, and says so in their history.
"""

from dataclasses import dataclass, replace
from functools import partial

from pierhead.errors import (
    Busy,
    BytesGone,
    NameTaken,
    NeverPointedThere,
    NotInTrash,
    PointsThere,
    ProjectInTrash,
    RepositoryInTrash,
    RepositoryUnknown,
    TagExists,
    TimeOver,
)
from pierhead.metadata import aliases, belongings, copies, events, locks, manifests, repositories, trash
from pierhead.metadata import tags as tag_rows
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.tags import Move
from pierhead.metadata.trash import Entry, Kind
from pierhead.models import Actor, Digest, RepositoryName, TagName, moment
from pierhead.registry.manifests import point


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back."""

    kind: Kind
    name: str  # of the repository or project, as it is called now
    manifests: list[Digest]
    tags: list[TagName]
    taken: list[TagName]  # exist again, and so were left where they point
    repositories: int = 0


@dataclass(frozen=True, slots=True)
class RolledBack:
    """A tag that points again to what it had pointed to."""

    before: Digest | None  # None: it was deleted
    after: Digest
    manifests: list[Digest]  # that came out of the trash for it


class Restoring:
    def __init__(self, database: Database, *, copied: bool) -> None:
        self._database = database
        self._copied = copied

    async def tag(self, repository: RepositoryName, tag: TagName, *, reason: str | None, actor: Actor) -> Restored:
        """With all that it went with. Raises NotInTrash, TimeOver, TagExists, RepositoryInTrash."""

        async def restore(tx: Transaction) -> Restored:
            repository_id = await _locked(tx, repository)
            exists = await tag_rows.target(tx, repository_id, tag)
            found = await trash.with_tag(tx, repository_id, tag)
            if found is None:
                at = await tag_rows.last_expired(tx, repository_id, tag)
                raise _nothing(f"{repository}:{tag}", at if exists is None else None)
            if exists is not None:
                way = f"to go back: pierhead rollback {repository}:{tag} --to {found.digest} --reason REASON"
                raise TagExists(f"{repository}:{tag} is {exists}; {way}")
            return await self._bring_back(tx, repository, await _taken(tx, found), reason=reason, actor=actor)

        return await self._database.write(restore)

    async def manifest(
        self, repository: RepositoryName, digest: Digest, *, reason: str | None, actor: Actor
    ) -> Restored:
        """With all that it went with. Raises NotInTrash, TimeOver, RepositoryInTrash."""

        async def restore(tx: Transaction) -> Restored:
            repository_id = await _locked(tx, repository)
            found = await trash.with_manifest(tx, repository_id, digest)
            if found is None:
                raise _nothing(f"{repository}@{digest}", await events.last_purge(tx, repository_id, digest))
            return await self._bring_back(tx, repository, await _taken(tx, found), reason=reason, actor=actor)

        return await self._database.write(restore)

    async def repository(
        self,
        repository: RepositoryName,
        *,
        as_name: RepositoryName | None = None,
        entry_id: int | None = None,
        reason: str | None,
        actor: Actor,
    ) -> Restored:
        """The one deleted last, or that of an entry. Raises NotInTrash, TimeOver, NameTaken, ProjectInTrash."""
        name = as_name or repository
        hidden = await self._database.read(partial(_hidden, repository=repository, entry_id=entry_id))

        async def restore(tx: Transaction) -> Restored:
            await tx.lock(*{locks.repository(one) for one in (repository, name, hidden or repository)})
            if hidden != await _hidden(tx, repository, entry_id):
                raise Busy(f"{repository} has just been deleted or restored")
            found = await _find(tx, repository, entry_id)
            entry = await _repository_entry(tx, repository, found, renamed=as_name is not None)
            assert entry.repository_id is not None  # noqa: S101  it is of a repository
            project_id = await repositories.ensure_project(tx, name.project)
            if not await repositories.show(tx, entry.repository_id, name, project_id):
                raise NameTaken(f"{name}; to another name: pierhead restore {repository} --as NAME")
            return await self._settle(tx, entry, name, reason=reason, actor=actor)

        return await self._database.write(restore)

    async def project(self, name: str, *, entry_id: int | None = None, reason: str | None, actor: Actor) -> Restored:
        """With all repositories that went with it. Raises NotInTrash, TimeOver, NameTaken."""

        async def restore(tx: Transaction) -> Restored:
            found = await (trash.find(tx, entry_id) if entry_id else trash.with_project(tx, name))
            if found is None or (found.kind, found.name) != ("project", name):
                over = await repositories.project_was(tx, name)
                raise TimeOver(f"{name} was purged") if over else NotInTrash(f"project {name}")
            entry = await _taken(tx, found)
            if not await repositories.show_project(tx, entry.project_id, name):
                way = f"{await _makes_free(tx, name)}, then: {way_back(entry)} --entry {entry.id}"
                raise NameTaken(f"project {name}; {way}")
            await repositories.show_all(tx, entry.id)
            return await self._settle(tx, entry, name, reason=reason, actor=actor)

        return await self._database.write(restore)

    async def rollback(
        self, repository: RepositoryName, tag: TagName, to: Digest | None, *, reason: str, actor: Actor
    ) -> RolledBack:
        """Points a tag to a digest that it pointed to, or to the one before its own, also where that is in the trash.

        Raises RepositoryUnknown, RepositoryInTrash, NeverPointedThere, PointsThere, BytesGone, Pinned.
        """

        async def roll_back(tx: Transaction) -> RolledBack:
            repository_id = await _locked(tx, repository)
            before = await tag_rows.target(tx, repository_id, tag)
            after = to or await tag_rows.previous(tx, repository_id, tag, before)
            if after is None or not await tag_rows.pointed_to(tx, repository_id, tag, after):
                way = f"pierhead history {repository}:{tag} shows where it did"
                raise NeverPointedThere(f"{repository}:{tag}: {to or 'there is nothing before'}; {way}")
            if after == before:
                raise PointsThere(f"{repository}:{tag} is {after}")
            revived = await self._revive(tx, repository, repository_id, after, reason=reason, actor=actor)
            now = await tag_rows.target(tx, repository_id, tag)
            if now != after:  # what is attached to the manifest came back with it
                await self._move(tx, repository, Move(repository_id, tag, "restored", now, after, 0), reason, actor)
            return RolledBack(before, after, revived)

        return await self._database.write(roll_back)

    async def _move(
        self, tx: Transaction, repository: RepositoryName, move: Move, reason: str | None, actor: Actor
    ) -> None:
        """Raises Pinned."""
        repository_id, tag, after = move.repository_id, move.name, move.after
        target = await manifests.find(tx, repository_id, after) if after else None
        assert after is not None  # noqa: S101  it is rolled back to something
        assert target is not None  # noqa: S101  that is there, or came back
        await point(tx, repository_id, tag, target.id, before=move.before)
        event_id = await events.record(
            tx, "tag.restored", repository_id, actor, tag=tag, before=move.before, after=after, reason=reason
        )
        await tag_rows.remember(tx, replace(move, event_id=event_id))
        if self._copied:
            await copies.owe(tx, "pushed", after, repository=repository, tag=tag, media_type=target.media_type)

    async def _settle(self, tx: Transaction, entry: Entry, name: str, *, reason: str | None, actor: Actor) -> Restored:
        """Ends the entry of repositories that have their names again."""
        count = await events.record_repositories(tx, "repository.restored", entry.id, actor, reason=reason)
        if self._copied:
            await copies.owe_repositories(tx, "pushed", entry.id)
        if entry.kind == "project":
            subject = f"project:{name}"
            await events.record_change(
                tx, "project.restored", subject, actor, project_id=entry.project_id, reason=reason
            )
        await repositories.forget_entry(tx, entry.id)
        await trash.remove(tx, entry.id)
        return Restored(entry.kind, name, [], [], [], count)

    async def _bring_back(
        self, tx: Transaction, repository: RepositoryName, entry: Entry, *, reason: str | None, actor: Actor
    ) -> Restored:
        """What an entry of a tag or a manifest has, with its tags."""
        assert entry.repository_id is not None  # noqa: S101  it is of a tag or a manifest
        await _gather(tx, entry.repository_id, entry.id)
        going = await trash.tags(tx, entry.id)
        await events.record_restored(tx, entry.id, actor, reason=reason)
        await belongings.take_back_blobs(tx, entry.id)
        moves = []
        for tag, digest in await belongings.take_back_tags(tx, entry.id):
            event_id = await events.record(
                tx, "tag.restored", entry.repository_id, actor, tag=tag, after=digest, reason=reason
            )
            moves.append(Move(entry.repository_id, tag, "restored", None, digest, event_id))
        await tag_rows.remember_all(tx, moves)
        if self._copied:
            await copies.owe_pushed(tx, entry.id, repository)
            await copies.owe_tags(tx, entry.id, repository)
        back = await belongings.take_back_manifests(tx, entry.id)
        await trash.remove(tx, entry.id)
        tags = [move.name for move in moves]
        return Restored(entry.kind, repository, back, tags, [tag for tag in going if tag not in set(tags)])

    async def _revive(
        self,
        tx: Transaction,
        repository: RepositoryName,
        repository_id: int,
        digest: Digest,
        *,
        reason: str | None,
        actor: Actor,
    ) -> list[Digest]:
        """A manifest out of the trash, without tags but those attached to it. Raises BytesGone."""
        held = await manifests.find(tx, repository_id, digest)
        if held is None or (held.trash_id is not None and await trash.is_over(tx, held.trash_id)):
            raise BytesGone(digest)
        if held.live:
            return []
        own = await trash.add(tx, "manifest", repository_id, digest=digest, actor=actor.name, keep=0)
        await manifests.throw_away(tx, held.id, own)
        entry = await trash.find(tx, own)
        assert entry is not None  # noqa: S101  it was just made
        return (await self._bring_back(tx, repository, entry, reason=reason, actor=actor)).manifests


async def _makes_free(tx: Transaction, project: str) -> str:
    """What has to be done for a project to get its name back."""
    alias = await aliases.find(tx, "project", project)
    if alias is None:
        return "delete the other one first"
    return f"{project} leads to {alias.target}; first: pierhead project alias remove {project}"


async def _gather(tx: Transaction, repository_id: int, trash_id: int) -> None:
    """Moves into an entry what has to come back with it from others."""
    brought = await belongings.bring_targets(tx, trash_id)
    while True:
        more = await belongings.bring_needed(tx, repository_id, trash_id)
        more += await belongings.bring_along(tx, repository_id, trash_id)
        brought += more
        if not more:
            break
    if brought:
        await belongings.bring_attached_tags(tx, repository_id, trash_id)
        await belongings.drop_emptied(tx, repository_id)


async def _locked(tx: Transaction, repository: RepositoryName) -> int:
    """The id of a repository that nobody else changes now. Raises RepositoryUnknown, RepositoryInTrash."""
    await tx.lock(locks.repository(repository))
    repository_id = await repositories.identify(tx, repository)
    if repository_id is not None:
        return repository_id
    entry = await trash.with_repository(tx, repository)
    if entry is None:
        raise RepositoryUnknown(repository)
    raise RepositoryInTrash(f"{repository}; first: {way_back(entry)}")


async def _taken(tx: Transaction, found: Entry) -> Entry:
    """An entry that nobody else restores or purges now. Raises NotInTrash, TimeOver."""
    entry = await trash.take(tx, found.id)
    if entry is None:
        raise NotInTrash(str(found))
    if await trash.is_over(tx, entry.id):
        raise TimeOver(f"{entry} was kept until {moment(entry.goes_at)}")
    return entry


async def _find(tx: Transaction, repository: RepositoryName, entry_id: int | None) -> Entry | None:
    if entry_id is None:
        return await trash.with_repository(tx, repository)
    found = await trash.find(tx, entry_id)
    return found if found and (found.kind, found.name) == ("repository", repository) else None


async def _hidden(tx: Transaction, repository: RepositoryName, entry_id: int | None) -> RepositoryName | None:
    """What the repository is called now that is to be restored."""
    found = await _find(tx, repository, entry_id)
    if found is None or found.repository_id is None:
        return None
    return await repositories.name(tx, found.repository_id)


async def _repository_entry(
    tx: Transaction, repository: RepositoryName, found: Entry | None, *, renamed: bool
) -> Entry:
    """Raises NotInTrash, TimeOver, ProjectInTrash."""
    if found is None:
        over = await repositories.were(tx, repository)
        raise TimeOver(f"{repository} was purged") if over else NotInTrash(repository)
    if found.kind == "project":
        raise ProjectInTrash(f"{repository} was deleted with the project {found.name}: {way_back(found)}")
    entry = await _taken(tx, found)
    if not renamed and await repositories.is_project_in_trash(tx, entry.project_id):
        way = f"restore that first, or this to another name: {way_back(entry)} --as NAME"
        raise ProjectInTrash(f"{repository.project}; {way}")
    return entry


def way_back(entry: Entry) -> str:
    """The command that restores an entry."""
    return f"pierhead restore {entry}{' --project' if entry.kind == 'project' else ''}"


def _nothing(what: str, purged_at: int | None) -> NotInTrash | TimeOver:
    return NotInTrash(what) if purged_at is None else TimeOver(f"{what} was purged at {moment(purged_at)}")
