"""The command `pierhead`. What a subcommand needs is imported when it runs: `--help` is instant."""

# ruff: noqa: PLC0415

from pathlib import Path
from typing import Any

import click

from pierhead import __version__
from pierhead.cli import upkeep
from pierhead.cli.flags import CONFIGURATION_MISTAKES, configuration, load, refuse, settings_flags


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="pierhead")
def main() -> None:
    """Pierhead, a container registry."""


@main.command()
@settings_flags
def serve(config: Path | None, **flags: Any) -> None:
    """Serve the registry until SIGTERM; SIGHUP reloads."""
    from pierhead.errors import ConfigurationError
    from pierhead.observability import logs

    loaded = load(config, flags)
    logs.configure(logs.resolve(loaded.settings.log.format), loaded.settings.log.level)
    from pierhead import supervisor

    try:
        code = supervisor.serve(loaded.settings, lambda: configuration(config, flags).settings)
    except ConfigurationError as error:
        refuse(error.mistakes, CONFIGURATION_MISTAKES)
    raise SystemExit(code)


@main.command()
@settings_flags
def migrate(config: Path | None, **flags: Any) -> None:
    """Bring PostgreSQL's schema up to date, while nodes of the version before still serve."""
    from pierhead import backends
    from pierhead.errors import ConfigurationError

    loaded = load(config, flags)
    try:
        taken = backends.migrate(loaded.settings)
    except ConfigurationError as error:
        refuse(error.mistakes, CONFIGURATION_MISTAKES)
    if taken is None:
        click.echo("SQLite: `pierhead serve` does this by itself")
    for step in taken or ():
        click.echo(f"taken: {step}")
    if taken == []:
        click.echo("up to date")


@main.group("config")
def config_group() -> None:
    """Look at the configuration."""


@config_group.command()
@settings_flags
def check(config: Path | None, **flags: Any) -> None:
    """Say OK, or every mistake."""
    from pierhead.errors import ConfigurationError

    loaded = load(config, flags, exit_code=1)
    from pierhead.supervisor import check_files

    try:
        check_files(loaded.settings)
    except ConfigurationError as error:
        refuse(error.mistakes, 1)
    click.echo("OK")


@config_group.command()
@settings_flags
def show(config: Path | None, **flags: Any) -> None:
    """Print every setting as TOML, with where its value comes from."""
    loaded = load(config, flags, exit_code=1)
    from pierhead.configuration import effective_toml

    click.echo(effective_toml(loaded))


for command in upkeep.COMMANDS:
    main.add_command(command)

if __name__ == "__main__":
    main()
