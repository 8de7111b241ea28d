"""`pierhead delete`, `restore` and `rollback`: taking away, and bringing back."""

# ruff: noqa: PLC0415

from typing import TYPE_CHECKING, Any

import click

from pierhead.cli.flags import place_flags
from pierhead.cli.local import act, as_json, echo_json, moment
from pierhead.cli.references import NAMED, Named

if TYPE_CHECKING:
    from pierhead.metadata.trash import Entry
    from pierhead.models import Actor, Digest
    from pierhead.registry.registry import Registry
    from pierhead.registry.restoring import Restored
    from pierhead.registry.trash import Listed

_SHOWN_MOST = 20

_reason = click.option("--reason", metavar="TEXT", help="Why; it is kept with the event.")
_project = click.option("--project", "as_project", is_flag=True, help="REFERENCE is the name of a project.")


@click.command()
@place_flags
@click.argument("reference", type=NAMED)
@_project
@_reason
@as_json
def delete(reference: Named, *, as_project: bool, reason: str | None, as_json: bool, **place: Any) -> None:
    """Put a tag, a manifest, a repository or a project into the trash.

    REFERENCE is team/app:v1, team/app@sha256:…, team/app, or with --project team. It is hidden at once and can be
    restored until its time in the trash is over.
    """
    _require_project(reference, as_project=as_project)

    async def work(registry: "Registry", actor: "Actor") -> "Listed | None":
        entry = await _delete(registry, reference, as_project=as_project, reason=reason, actor=actor)
        return await registry.trash.find(entry.id) if entry else None

    deleted = act(place, work)
    if as_json:
        from pierhead.cli.trash import told

        echo_json(told(deleted) if deleted else None)
        return
    if deleted is None:
        click.echo(f"{reference} deleted; its trash keeps nothing")
        return
    weight = deleted.weight
    what = "" if deleted.entry.kind == "tag" else f", with {counted(weight.manifests, 'manifest')}"
    tags = "" if deleted.entry.kind == "tag" else f" and {counted(weight.tags, 'tag')}"
    click.echo(f"{reference} deleted{what}{tags}")
    click.echo(f"until {moment(deleted.entry.goes_at)}: {deleted.way_back}")


async def _delete(
    registry: "Registry", reference: Named, *, as_project: bool, reason: str | None, actor: "Actor"
) -> "Entry | None":
    """The entry in the trash; None where its time is over already."""
    name = reference.repository
    if as_project:
        return await registry.trash.delete_project(name, reason=reason, actor=actor)
    if reference.digest:
        await registry.manifests.delete(name, reference.digest, reason=reason, actor=actor)
        return await registry.trash.found(name, reference.digest)
    if reference.tag:
        await registry.tags.delete(name, reference.tag, reason=reason, actor=actor)
        return await registry.trash.found(name, reference.tag)
    return await registry.trash.delete_repository(name, reason=reason, actor=actor)


@click.command()
@place_flags
@click.argument("reference", type=NAMED)
@_project
@click.option("--as", "as_name", type=NAMED, metavar="NAME", help="Give a repository another name.")
@click.option("--entry", type=int, metavar="ID", help="Of several repositories or projects of this name, that one.")
@_reason
@as_json
def restore(
    reference: Named,
    *,
    as_project: bool,
    as_name: Named | None,
    entry: int | None,
    reason: str | None,
    as_json: bool,
    **place: Any,
) -> None:
    """Bring back what was deleted: a tag, a manifest, a repository or a project.

    It comes back whole, with all that was deleted along with it. A tag that exists again meanwhile is not moved: see
    `pierhead rollback`. `pierhead trash list` shows what can be restored.
    """
    _require_project(reference, as_project=as_project)
    whole = not (reference.tag or reference.digest)
    if as_name and (not whole or as_project or as_name.tag or as_name.digest):
        raise click.UsageError("--as NAME is for a whole repository")
    if entry is not None and not whole:
        raise click.UsageError("--entry ID is for a whole repository or project")

    async def work(registry: "Registry", actor: "Actor") -> "Restored":
        restoring, name = registry.trash.restoring, reference.repository
        if as_project:
            return await restoring.project(name, entry_id=entry, reason=reason, actor=actor)
        if reference.digest:
            return await restoring.manifest(name, reference.digest, reason=reason, actor=actor)
        if reference.tag:
            return await restoring.tag(name, reference.tag, reason=reason, actor=actor)
        other = as_name.repository if as_name else None
        return await restoring.repository(name, as_name=other, entry_id=entry, reason=reason, actor=actor)

    restored = act(place, work)
    echo_json(_told(restored)) if as_json else _say(reference, restored)


@click.command()
@place_flags
@click.argument("reference", type=NAMED)
@click.option("--to", "digest", metavar="DIGEST", help="A digest of the tag's history [the one before].")
@click.option("--reason", metavar="TEXT", required=True, help="Why; it is kept with the history.")
@as_json
def rollback(reference: Named, *, digest: str | None, reason: str, as_json: bool, **place: Any) -> None:
    """Point a tag to what it pointed to before.

    That is a new entry of the tag's history, and can itself be rolled back. What lies in the trash comes back for it.
    """
    if reference.tag is None:
        raise click.UsageError("a tag is rolled back: team/app:v1")
    from pierhead.registry.restoring import RolledBack

    tag, to = reference.tag, _digest(digest)

    async def work(registry: "Registry", actor: "Actor") -> RolledBack:
        return await registry.trash.restoring.rollback(reference.repository, tag, to, reason=reason, actor=actor)

    done = act(place, work)
    if as_json:
        echo_json({"reference": str(reference), "before": done.before, "after": done.after, "restored": done.manifests})
        return
    click.echo(f"{reference} is {done.after} again; it {f'was {done.before}' if done.before else 'was deleted'}")
    if done.manifests:
        click.echo(f"{counted(len(done.manifests), 'manifest')} came out of the trash for it")


COMMANDS = (delete, restore, rollback)


def counted(number: int, noun: str) -> str:
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun.removesuffix('y')}ies" if noun.endswith("y") else f"{number} {noun}s"


def _digest(text: str | None) -> "Digest | None":
    from pierhead.errors import DigestInvalid
    from pierhead.models import Digest

    if text is None:
        return None
    try:
        return Digest.parse(text)
    except DigestInvalid as error:
        raise click.BadParameter(f"{text}: {error.__class__.__doc__}", param_hint="--to") from error


def _require_project(reference: Named, *, as_project: bool) -> None:
    if as_project and (reference.tag or reference.digest or "/" in reference.repository):
        raise click.UsageError("a project is called by the first part of its repositories' names: team")


def _told(restored: "Restored") -> dict[str, Any]:
    return {
        "kind": restored.kind,
        "name": restored.name,
        "repositories": restored.repositories,
        "manifests": restored.manifests,
        "tags": restored.tags,
        "not_moved": restored.taken,
    }


def _say(reference: Named, restored: "Restored") -> None:
    if restored.kind == "repository":
        click.echo(f"{reference} restored" + (f" as {restored.name}" if restored.name != reference.repository else ""))
    elif restored.kind == "project":
        click.echo(f"{reference} restored: {counted(restored.repositories, 'repository')}")
    else:
        what = f"{counted(len(restored.manifests), 'manifest')} and {counted(len(restored.tags), 'tag')}"
        click.echo(f"{reference} restored: {what}")
        for tag in restored.tags[:_SHOWN_MOST]:
            click.echo(f"  {restored.name}:{tag}")
        if len(restored.tags) > _SHOWN_MOST:
            click.echo(f"  and {len(restored.tags) - _SHOWN_MOST} more")
    for tag in restored.taken:
        click.echo(f"not moved, since it exists again: {restored.name}:{tag} (see `pierhead rollback`)")
