"""The flags that name settings, and the settings that they give with the file and the environment."""

# ruff: noqa: PLC0415

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

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

SWITCHES = {
    "--allow-anonymous": ("access", "allow_anonymous", "Open to everybody who reaches it."),
    "--setup": ("access", "setup", "Without accounts: only the page that makes the first one."),
}


def settings_flags(command: F) -> F:
    for flag, (_, _, text) in reversed(SWITCHES.items()):
        command = click.option(flag, is_flag=True, help=text)(command)
    return _flags(command, tuple(FLAGS))


def place_flags(command: F) -> F:
    """For what works on the data, beside a server or without one."""
    return _flags(command, ("--data", "--database", "--storage"))


def config_flag(command: F) -> F:
    """For what needs the settings and nothing of the registry."""
    return _flags(command, ())


def data_flags(command: F) -> F:
    """For what works on the registry of one machine."""
    return _flags(command, ("--data",))


def _flags(command: F, names: tuple[str, ...]) -> F:
    for flag in reversed(names):
        _, _, metavar, text = FLAGS[flag]
        command = click.option(flag, metavar=metavar, help=text)(command)
    return click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file.")(command)


def load(config: Path | None, flags: dict[str, Any], exit_code: int = CONFIGURATION_MISTAKES) -> "Configuration":
    from pierhead.errors import ConfigurationError

    try:
        return read(config, flags)
    except ConfigurationError as error:
        refuse(error.mistakes, exit_code)


def read(config: Path | None, flags: dict[str, Any]) -> "Configuration":
    """Raises ConfigurationError with every mistake; `load` ends the program instead."""
    from pierhead import configuration

    return configuration.load(config, _given(flags))


def _given(flags: dict[str, Any]) -> "dict[Key, Given]":
    from pierhead.configuration import Given

    given: dict[Key, Given] = {}
    for flag, (section, name, _, _) in FLAGS.items():
        value = flags.get(flag.removeprefix("--").replace("-", "_"))
        if value is not None:
            given[section, name] = Given(value, flag)
    for flag, (section, name, _) in SWITCHES.items():
        if flags.get(name):
            given[section, name] = Given(value=True, source=flag)
    return given


def refuse(mistakes: list[str], exit_code: int) -> NoReturn:
    for mistake in mistakes:
        click.echo(f"pierhead: {mistake}", err=True)
    raise SystemExit(exit_code)
