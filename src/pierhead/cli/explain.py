"""`pierhead explain`: why something is here, and what deleting it would free."""

# ruff: noqa: PLC0415

from typing import TYPE_CHECKING, Any

import click

from pierhead.cli.bars import amount
from pierhead.cli.flags import place_flags
from pierhead.cli.local import act, as_json, echo_json, moment
from pierhead.cli.references import NAMED, Named
from pierhead.cli.usage import told_removal, told_space

if TYPE_CHECKING:
    from pierhead.models import Digest
    from pierhead.registry.explaining import Explained, HeldBlob, Holding, Listing, Reason
    from pierhead.registry.registry import Registry
    from pierhead.registry.removals import Removal
    from pierhead.registry.usage import Freeing


class _Subject(click.ParamType["Named | Digest"]):
    name = "subject"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> "Named | Digest":
        from pierhead.errors import DigestInvalid
        from pierhead.models import Digest

        if isinstance(value, Named) or not value.startswith(("sha256:", "sha512:")):
            return NAMED.convert(value, param, ctx)
        try:
            return Digest.parse(value)
        except DigestInvalid as error:
            self.fail(f"{value}: {error.__class__.__doc__}", param, ctx)


@click.command()
@place_flags
@click.argument("subject", type=_Subject())
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Most of each kind.")
@as_json
def explain(subject: "Named | Digest", *, limit: int, as_json: bool, **place: Any) -> None:
    """Say why a blob or a manifest is here, and what deleting it frees.

    SUBJECT is sha256:…, team/app, team/app:v1 or team/app@sha256:….
    """
    if not isinstance(subject, Named):
        explained = act(place, lambda registry, _: registry.explaining.why(subject, limit=limit))
        _echo(_told_why(explained) if as_json else _why(explained))
    elif subject.tag is None and subject.digest is None:
        freeing = act(place, lambda registry, _: registry.usage.freeing(subject.repository, limit=limit))
        _echo(_told_repository(subject, freeing) if as_json else _repository_lines(subject, freeing))
    else:
        removal, explained = act(place, lambda registry, _: _manifest(registry, subject, limit))
        if as_json:
            _echo({"name": str(subject), "deleting": told_removal(removal), "why": _told_why(explained)})
        else:
            _echo(_manifest_lines(subject, removal, explained, limit))


def _echo(told: dict[str, Any] | list[str]) -> None:
    if isinstance(told, dict):
        echo_json(told)
    else:
        click.echo("\n".join(told))


async def _manifest(registry: "Registry", name: Named, limit: int) -> "tuple[Removal, Explained]":
    reference = name.digest or name.tag
    assert reference is not None  # noqa: S101  asked for such only
    removal = await registry.usage.of_manifest(name.repository, reference)
    return removal, await registry.explaining.why(removal.manifest, limit=limit)


def _manifest_lines(name: Named, removal: "Removal", explained: "Explained", limit: int) -> list[str]:
    lines = [f"{name} is {removal.manifest}", *_why(explained), ""]
    if name.tag:
        lines.append("Deleting the tag frees nothing: its manifest stays.")
    if removal.refused:
        lines.append(f"Deleting the manifest is refused now: {removal.refused}.")
    act = "Purging it from the trash" if removal.in_trash else "Deleting the manifest"
    lines.append(f"{act} takes {len(removal.manifests)} manifests and {len(removal.tags)} tags along, and frees")
    lines += _freed([(part.digest, part.size) for part in removal.freed[:limit]], removal.freed_bytes, removal.count)
    lines.append(f"{amount(removal.shared_bytes)} of it stay: something else keeps them.")
    lines += [f"{digest} stays in the trash: an earlier deletion lists it." for digest in removal.kept]
    return lines


def _repository_lines(name: Named, freeing: "Freeing") -> list[str]:
    space, freed = freeing.space, freeing.space.exclusive
    return [
        f"{name} holds {amount(space.total.bytes)} in {space.total.digests} blobs and manifests.",
        f"Deleting it leaves {amount(space.shared.bytes)} of that, which others keep, and frees",
        *_freed([(part.digest, part.size) for part in freeing.first], freed.bytes, freed.digests),
    ]


def _freed(first: list[tuple["Digest", int]], size: int, count: int) -> list[str]:
    """Once it has left the trash and was collected."""
    lines = [f"  {amount(size)} in {count} blobs and manifests, once purged and collected"]
    lines += [f"  {digest}  {amount(one)}" for digest, one in first]
    return lines + _more(len(first), count)


def _more(shown: int, count: int) -> list[str]:
    return [f"  … and {count - shown} more"] if shown < count else []


def _why(explained: "Explained") -> list[str]:
    lines: list[str] = []
    if explained.blob:
        lines += _blob(explained.blob)
    if explained.manifest:
        lines.append(
            f"A manifest of {amount(explained.manifest.size)}, in {explained.manifest.repositories} repositories:"
        )
        for reason in explained.manifest.places:
            lines += _reason(reason)
        lines += _more(len(explained.manifest.places), explained.manifest.repositories)
    if explained.doomed:
        lines.append(f"Bytes from before wait to be removed: {explained.doomed} keys.")
    if explained.copying:
        lines.append("The registry is being copied: until that ends nothing is removed.")
    return lines


def _blob(blob: "HeldBlob") -> list[str]:
    lines = [f"A blob of {amount(blob.size)}, here since {moment(blob.created_at)}"]
    if blob.damage:
        lines.append(f"It is damaged ({blob.damage}), and not served before it is pushed again.")
    lines.append(f"Held by {blob.holders} repositories:")
    lines += [f"  {_holder(holder)}" for holder in blob.held_by] + _more(len(blob.held_by), blob.holders)
    lines.append(f"Needed by {blob.manifests} manifests:")
    for reason in blob.needed_by:
        lines += _reason(reason)
    lines += _more(len(blob.needed_by), blob.manifests)
    if blob.goes_at is not None:
        lines.append(f"Nothing needs it. It goes at {moment(blob.goes_at)} at the earliest.")
    return lines


def _holder(holding: "Holding") -> str:
    holder = holding.holder
    told = f"{holder.repository}{' (deleted)' if holder.deleted else ''}"
    if holding.needed or holder.since is None or holder.leased_until is None:
        return told
    since, until = moment(holder.since), moment(holder.leased_until)
    return f"{told}, needed by none of its manifests since {since}, leased until {until}"


def _reason(reason: "Reason") -> list[str]:
    place = reason.place
    lines = [f"  {place.repository}@{place.digest}{_in_trash(place.kept_until)}"]
    if reason.tags:
        lines.append(f"    tags: {', '.join(reason.tags)}")
    lines += [f"    part of {_listing(one)}" for one in reason.indexes]
    if reason.subject:
        lines.append(f"    about {reason.subject}")
    if reason.pin:
        lines.append(f"    pinned by {reason.pin.actor}: {reason.pin.reason}{_until(reason.pin.until)}")
    return lines


def _listing(one: "Listing") -> str:
    tags = f" (tags: {', '.join(one.tags)})" if one.tags else ""
    return f"{one.digest}{tags}{_in_trash(one.kept_until)}"


def _in_trash(kept_until: int | None) -> str:
    return "" if kept_until is None else f", in the trash until {moment(kept_until)}"


def _until(until: int | None) -> str:
    return "" if until is None else f", until {moment(until)}"


def _told_why(explained: "Explained") -> dict[str, Any]:
    return {
        "digest": explained.digest,
        "blob": _told_blob(explained.blob) if explained.blob else None,
        "manifest": {
            "size": explained.manifest.size,
            "repositories": explained.manifest.repositories,
            "places": list(map(_told_reason, explained.manifest.places)),
        }
        if explained.manifest
        else None,
        "doomed": explained.doomed,
        "copying": explained.copying,
    }


def _told_blob(blob: "HeldBlob") -> dict[str, Any]:
    return {
        "size": blob.size,
        "created_at": moment(blob.created_at),
        "damage": blob.damage,
        "holders": blob.holders,
        "held_by": list(map(_told_holder, blob.held_by)),
        "manifests": blob.manifests,
        "needed_by": list(map(_told_reason, blob.needed_by)),
        "goes_at": _moment(blob.goes_at),
    }


def _told_holder(holding: "Holding") -> dict[str, Any]:
    holder = holding.holder
    return {
        "repository": holder.repository,
        "deleted": holder.deleted,
        "needed": holding.needed,
        "since": _moment(holder.since),
        "leased_until": _moment(holder.leased_until),
    }


def _told_reason(reason: "Reason") -> dict[str, Any]:
    place, pin = reason.place, reason.pin
    return {
        "repository": place.repository,
        "deleted": place.deleted,
        "digest": place.digest,
        "media_type": place.media_type,
        "in_trash_until": _moment(place.kept_until),
        "tags": list(reason.tags),
        "part_of": [
            {"digest": one.digest, "tags": list(one.tags), "in_trash_until": _moment(one.kept_until)}
            for one in reason.indexes
        ],
        "subject": reason.subject,
        "pin": {"reason": pin.reason, "actor": pin.actor, "until": _moment(pin.until)} if pin else None,
    }


def _told_repository(name: Named, freeing: "Freeing") -> dict[str, Any]:
    first = [{"digest": part.digest, "size": part.size} for part in freeing.first]
    return {"name": str(name), "usage": told_space(freeing.space), "frees": first}


def _moment(microseconds: int | None) -> str | None:
    return None if microseconds is None else moment(microseconds)
