"""The command `pierhead`. What a subcommand needs is imported when it runs: `--help` is instant."""

# ruff: noqa: PLC0415

from pathlib import Path
from typing import Any

import click

from pierhead import __version__
from pierhead.cli import deletion, upkeep
from pierhead.cli.access import access
from pierhead.cli.audit import audit
from pierhead.cli.check import check as check_registry
from pierhead.cli.explain import explain
from pierhead.cli.flags import CONFIGURATION_MISTAKES, FLAGS, load, place_flags, read, refuse, settings_flags
from pierhead.cli.gc import gc
from pierhead.cli.grant import grant
from pierhead.cli.history import history
from pierhead.cli.jobs import jobs
from pierhead.cli.ldap import ldap
from pierhead.cli.oidc import oidc
from pierhead.cli.pins import pin
from pierhead.cli.project import project
from pierhead.cli.promote import promote
from pierhead.cli.repository import repository
from pierhead.cli.robot import robot
from pierhead.cli.role import role
from pierhead.cli.team import team
from pierhead.cli.token import token
from pierhead.cli.trash import trash
from pierhead.cli.usage import usage
from pierhead.cli.user import user


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

    configuration = load(config, flags)
    logs.configure(logs.resolve(configuration.settings.log.format), configuration.settings.log.level)
    from pierhead import supervisor

    try:
        code = supervisor.serve(configuration.settings, lambda: read(config, flags).settings)
    except ConfigurationError as error:
        refuse(error.mistakes, CONFIGURATION_MISTAKES)
    raise SystemExit(code)


@main.command()
@place_flags
@click.option("--log-format", metavar="FORMAT", help=FLAGS["--log-format"][-1])
@click.option("--log-level", metavar="LEVEL", help=FLAGS["--log-level"][-1])
def worker(config: Path | None, **flags: Any) -> None:
    """Do background work, and serve nobody, until SIGTERM."""
    from pierhead.errors import ConfigurationError
    from pierhead.observability import logs

    settings = load(config, flags).settings
    logs.configure(logs.resolve(settings.log.format), settings.log.level)
    from pierhead import backends, background, data_directory

    try:
        data_directory.prepare(settings.server.data)
        backends.prepare(settings)
        background.alone(settings)
    except ConfigurationError as error:
        refuse(error.mistakes, CONFIGURATION_MISTAKES)


@main.command()
@settings_flags
def migrate(config: Path | None, **flags: Any) -> None:
    """Bring PostgreSQL's schema up to date. Nodes of the version before may go on serving."""
    from pierhead import backends
    from pierhead.errors import ConfigurationError

    configuration = load(config, flags)
    try:
        taken = backends.migrate(configuration.settings)
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

    configuration = load(config, flags, exit_code=1)
    from pierhead.supervisor import check_files

    try:
        check_files(configuration.settings)
    except ConfigurationError as error:
        refuse(error.mistakes, 1)
    click.echo("OK")


@config_group.command()
@settings_flags
def show(config: Path | None, **flags: Any) -> None:
    """Print every setting as TOML, with where its value comes from."""
    configuration = load(config, flags, exit_code=1)
    from pierhead.configuration import effective_toml

    click.echo(effective_toml(configuration))


for command in (
    access,
    audit,
    check_registry,
    explain,
    gc,
    grant,
    history,
    jobs,
    ldap,
    oidc,
    pin,
    project,
    promote,
    repository,
    robot,
    role,
    team,
    token,
    trash,
    usage,
    user,
    *deletion.COMMANDS,
    *upkeep.COMMANDS,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
