"""Commands that look after a registry, beside the server or without one: grow, backup, restore-backup."""

# ruff: noqa: PLC0415

import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pierhead.cli.bars import Bars, amount
from pierhead.cli.flags import CONFIGURATION_MISTAKES, data_flags, load, place_flags, refuse

if TYPE_CHECKING:
    from pierhead.moving.side import Copied

INTERRUPTED = 130  # exit code
T = TypeVar("T")

_directory = click.Path(path_type=Path, resolve_path=True)
_read = click.option("--read", is_flag=True, help="Read and hash also what is there already.")


@click.command()
@place_flags
@click.option("--to", "directory", type=_directory, metavar="DIRECTORY", required=True, help="The backup.")
@_read
def backup(directory: Path, config: Path | None, *, read: bool, **flags: Any) -> None:
    """Copy the registry into a directory, while it serves.

    Again into the same directory, it copies only what is new.
    """
    from pierhead import places

    settings = load(config, flags).settings
    copied, seconds = run(lambda: places.back_up(settings, directory, Bars(), read=read))
    _tell(copied, f"{seconds:.1f} s: {directory}")


@click.command("restore-backup")
@place_flags
@click.option("--from", "directory", type=_directory, metavar="DIRECTORY", required=True, help="The backup.")
@_read
def restore_backup(directory: Path, config: Path | None, *, read: bool, **flags: Any) -> None:
    """Copy a backup into a registry that is empty, of either kind.

    After an interruption the same command goes on.
    """
    from pierhead import places

    settings = load(config, flags).settings
    copied, seconds = run(lambda: places.restore(settings, directory, Bars(), read=read))
    _tell(copied, f"{seconds:.1f} s")


@click.command()
@data_flags
@click.option("--to", "target", type=_directory, metavar="CONFIG", help="TOML file of the registry to move to.")
@click.option("--give-up", is_flag=True, help="Remove what a killed `grow` left in the registry.")
@_read
def grow(target: Path | None, config: Path | None, *, give_up: bool, read: bool, **flags: Any) -> None:
    """Move a registry from --data to PostgreSQL and an object store, while it serves.

    Pulls are served all the time, pushes but for a few seconds at the end. Then the old one refuses to serve.
    After an interruption the same command goes on.
    """
    from pierhead import places

    if (target is None) != give_up:
        raise click.UsageError("one of --to CONFIG and --give-up is needed")
    settings = load(config, flags).settings
    if target is None:
        run(lambda: places.give_up(settings))
        return
    to = load(target, {}).settings
    grown, seconds = run(lambda: places.grow(settings, to, target, Bars(), read=read))
    _tell(grown.copied, f"{seconds:.1f} s, pushes were refused for {grown.frozen_seconds:.2f} s")
    click.echo(f"The registry has moved: serve it with --config {target}")


COMMANDS = (backup, grow, restore_backup)


def _tell(copied: "Copied", rest: str) -> None:
    new = f"{copied.rows} rows and {copied.blobs} blobs ({amount(copied.bytes)})"
    click.echo(f"{new} copied, {copied.total_rows} rows and {copied.total_blobs} blobs in all, in {rest}")


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> tuple[T, float]:
    """What the work gives, and its seconds; ends the program where it fails."""
    import asyncio
    import signal

    from pierhead.errors import ConfigurationError, PierheadError

    async def until_told() -> T:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  it runs in one
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work()

    started = time.monotonic()
    try:
        return asyncio.run(until_told()), time.monotonic() - started
    except ConfigurationError as error:
        refuse(error.mistakes, CONFIGURATION_MISTAKES)
    except PierheadError as error:
        refuse([f"{error.__class__.__doc__}: {error}" if str(error) else str(error.__class__.__doc__)], 1)
    except (KeyboardInterrupt, asyncio.CancelledError):
        refuse(["interrupted"], INTERRUPTED)
