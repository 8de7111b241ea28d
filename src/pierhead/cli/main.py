"""The command `pierhead`. What a subcommand needs is imported when it runs: `--help` is instant."""

# ruff: noqa: PLC0415

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from pierhead import __version__

if TYPE_CHECKING:
    from pierhead.configuration import Configuration, Given, Key

CONFIGURATION_MISTAKES = 2  # exit code
F = TypeVar("F", bound=Callable[..., Any])

# Every flag is a text here: the settings judge it, so that all mistakes are told together.
FLAGS = {
    "--host": ("server", "host", "ADDRESS", "Address to bind [127.0.0.1]."),
    "--port": ("server", "port", "N", "Port to bind [5000]."),
    "--data": ("server", "data", "DIRECTORY", "Where everything is kept [./pierhead-data]."),
    "--database": ("database", "url", "URL", "postgresql://…, for many nodes [SQLite]."),
    "--storage": ("storage", "url", "URL", "Store of the blobs: s3://, gs://, az:// or file:/// [--data]."),
    "--workers": ("server", "workers", "N", "Worker processes [one for each processor, at most 4]."),
    "--public-url": ("server", "public_url", "URL", "Makes Location headers absolute."),
    "--trusted-proxies": ("server", "trusted_proxies", "NETWORKS", "Whose X-Forwarded-* to believe, comma-separated."),
    "--tls-certificate": ("server", "tls_certificate", "FILE", "PEM certificate chain; re-read when it changes."),
    "--tls-key": ("server", "tls_key", "FILE", "PEM key of the certificate."),
    "--htpasswd": ("access", "htpasswd", "FILE", "Accounts; re-read when the file changes."),
    "--log-format": ("log", "format", "FORMAT", "console, json or auto."),
    "--log-level": ("log", "level", "LEVEL", "debug, info, warning or error."),
    "--access-log": ("log", "access", "WHICH", "Requests that get a line: all, changes or none."),
}


def settings_flags(command: F) -> F:
    command = click.option("--allow-anonymous", is_flag=True, help="Open to everybody who reaches it.")(command)
    for flag, (_, _, metavar, text) in reversed(FLAGS.items()):
        command = click.option(flag, metavar=metavar, help=text)(command)
    return click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file.")(command)


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

    configuration = _load(config, flags)
    logs.configure(logs.resolve(configuration.settings.log.format), configuration.settings.log.level)
    from pierhead import supervisor

    try:
        code = supervisor.serve(configuration.settings, lambda: _configuration(config, flags).settings)
    except ConfigurationError as error:
        _refuse(error.mistakes, CONFIGURATION_MISTAKES)
    raise SystemExit(code)


@main.command()
@settings_flags
def migrate(config: Path | None, **flags: Any) -> None:
    """Bring PostgreSQL's schema up to date. Nodes of the version before may go on serving."""
    from pierhead import backends
    from pierhead.errors import ConfigurationError

    configuration = _load(config, flags)
    try:
        taken = backends.migrate(configuration.settings)
    except ConfigurationError as error:
        _refuse(error.mistakes, CONFIGURATION_MISTAKES)
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

    configuration = _load(config, flags, exit_code=1)
    from pierhead.supervisor import check_files

    try:
        check_files(configuration.settings)
    except ConfigurationError as error:
        _refuse(error.mistakes, 1)
    click.echo("OK")


@config_group.command()
@settings_flags
def show(config: Path | None, **flags: Any) -> None:
    """Print every setting as TOML, with where its value comes from."""
    configuration = _load(config, flags, exit_code=1)
    from pierhead.configuration import effective_toml

    click.echo(effective_toml(configuration))


def _load(config: Path | None, flags: dict[str, Any], exit_code: int = CONFIGURATION_MISTAKES) -> "Configuration":
    from pierhead.errors import ConfigurationError

    try:
        return _configuration(config, flags)
    except ConfigurationError as error:
        _refuse(error.mistakes, exit_code)


def _configuration(config: Path | None, flags: dict[str, Any]) -> "Configuration":
    from pierhead.configuration import load

    return load(config, _given(flags))


def _given(flags: dict[str, Any]) -> "dict[Key, Given]":
    from pierhead.configuration import Given

    given: dict[Key, Given] = {}
    for flag, (section, name, _, _) in FLAGS.items():
        value = flags[flag.removeprefix("--").replace("-", "_")]
        if value is not None:
            given[section, name] = Given(value, flag)
    if flags["allow_anonymous"]:
        given["access", "allow_anonymous"] = Given(value=True, source="--allow-anonymous")
    return given


def _refuse(mistakes: list[str], exit_code: int) -> NoReturn:
    for mistake in mistakes:
        click.echo(f"pierhead: {mistake}", err=True)
    raise SystemExit(exit_code)


if __name__ == "__main__":
    main()
