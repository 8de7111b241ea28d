"""`pierhead usage`: how many bytes something takes up, and what would be free without it."""

from typing import TYPE_CHECKING, Any

import click

from pierhead.cli.bars import amount
from pierhead.cli.flags import place_flags
from pierhead.cli.local import act, as_json, echo_json, table
from pierhead.cli.references import NAMED, Named

if TYPE_CHECKING:
    from pierhead.models import Actor
    from pierhead.registry.registry import Registry
    from pierhead.registry.removals import Removal
    from pierhead.registry.usage import Amount, Space


@click.command()
@place_flags
@click.argument("name", type=NAMED, required=False)
@click.option("--repository", is_flag=True, help="A name without / is that of a repository, not of a project.")
@as_json
def usage(name: Named | None, *, repository: bool, as_json: bool, **place: Any) -> None:
    """Show how many bytes a project, a repository or a tag takes up, or all.

    NAME is team, team/app, team/app:v1 or team/app@sha256:…. Each digest counts once. What is shared stays when it is
    deleted; what is exclusive is free once it has left the trash and was collected.
    """
    if name is not None and (name.tag or name.digest):
        removal = act(place, lambda registry, _: _removal(registry, name))
        if as_json:
            echo_json({"name": str(name), **told_removal(removal)})
        else:
            click.echo(table(_COLUMNS, _parts(removal)), nl=False)
        return

    async def measure(registry: "Registry", _: "Actor") -> "Space":
        if name is None:
            return await registry.usage.of_registry()
        if "/" in name.repository or repository:
            return await registry.usage.of_repository(name.repository)
        return await registry.usage.of_project(name.repository)

    space = act(place, measure)
    if as_json:
        echo_json({"name": str(name) if name else None, **told_space(space)})
    else:
        click.echo(table(_COLUMNS, _lines(space)), nl=False)


async def _removal(registry: "Registry", name: Named) -> "Removal":
    reference = name.digest or name.tag
    assert reference is not None  # noqa: S101  asked for such only
    return await registry.usage.of_manifest(name.repository, reference)


_COLUMNS = ("", "BYTES", "BLOBS AND MANIFESTS")


def _lines(space: "Space") -> list[tuple[str, ...]]:
    return [
        _line("total", space.total),
        _line("shared", space.shared),
        _line("exclusive", space.exclusive),
        _line("  in the trash", space.trash),
        _line("  needed by no manifest", space.unneeded),
    ]


def _line(label: str, some: "Amount") -> tuple[str, ...]:
    return label, amount(some.bytes), str(some.digests)


def _parts(removal: "Removal") -> list[tuple[str, ...]]:
    freed, shared = (removal.freed_bytes, len(removal.freed)), (removal.shared_bytes, len(removal.shared))
    total = (freed[0] + shared[0], freed[1] + shared[1])
    named = (("total", total), ("shared", shared), ("exclusive", freed))
    return [(label, amount(size), str(digests)) for label, (size, digests) in named]


def told_space(space: "Space") -> dict[str, Any]:
    named = ("total", "shared", "exclusive", "trash", "unneeded")
    return {name: told_amount(getattr(space, name)) for name in named}


def told_amount(some: "Amount") -> dict[str, int]:
    return {"bytes": some.bytes, "digests": some.digests}


def told_removal(removal: "Removal") -> dict[str, Any]:
    freed, shared = removal.freed_bytes, removal.shared_bytes
    return {
        "total": {"bytes": freed + shared, "digests": len(removal.freed) + len(removal.shared)},
        "shared": {"bytes": shared, "digests": len(removal.shared)},
        "exclusive": {"bytes": freed, "digests": len(removal.freed)},
        "in_trash": removal.in_trash,
        "manifests": list(removal.manifests),
        "tags": list(removal.tags),
        "kept": list(removal.kept),
        "frees": [{"digest": part.digest, "size": part.size} for part in removal.freed],
        "refused": removal.refused,
    }
