"""`pierhead ldap`: trying out a directory of accounts."""

# ruff: noqa: PLC0415

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pierhead.cli.flags import CONFIGURATION_MISTAKES, config_flag, load, refuse
from pierhead.cli.local import as_json, echo_json, printable

if TYPE_CHECKING:
    from pierhead.access.ldap.trial import Step
    from pierhead.source_settings import LdapSettings


@click.group()
def ldap() -> None:
    """Look at directories of accounts."""


@ldap.command()
@config_flag
@click.argument("name", required=False)
@click.option("--user", metavar="LOGIN", help="Try to sign in; the password is read from standard input.")
@click.option("--no-password", is_flag=True, help="With --user: only look up who that is.")
@as_json
def check(config: Path | None, name: str | None, user: str | None, *, no_password: bool, as_json: bool) -> None:
    """Say whether a directory answers, who a user is in it and which groups they are in.

    Without NAME, all directories are tried. Nothing is changed, and no account is made here.
    """
    from pierhead.errors import ConfigurationError

    directories = _chosen(config, name)
    password = _password() if user is not None and not no_password else None
    try:
        tried = {directory.name: _steps(directory, user, password, quiet=as_json) for directory in directories}
    except ConfigurationError as error:
        refuse(error.mistakes, CONFIGURATION_MISTAKES)
    if as_json:
        echo_json({directory: [asdict(step) for step in steps] for directory, steps in tried.items()})
    if not all(step.passed for steps in tried.values() for step in steps):
        raise SystemExit(1)


def _chosen(config: Path | None, name: str | None) -> "list[LdapSettings]":
    directories = load(config, {}).settings.ldap
    chosen = [directory for directory in directories if name in (None, directory.name)]
    if not chosen:
        known = ", ".join(directory.name for directory in directories) or "none"
        refuse([f"no directory of this name is in the settings; there are: {known}"], CONFIGURATION_MISTAKES)
    return chosen


def _password() -> bytes:
    if sys.stdin.isatty():
        typed: str = click.prompt("Password", hide_input=True, err=True)
        return typed.encode("utf-8")
    return sys.stdin.buffer.readline().rstrip(b"\r\n")


def _steps(directory: "LdapSettings", user: str | None, password: bytes | None, *, quiet: bool) -> "list[Step]":
    """Told as they come: a server that is silent takes its time."""
    from pierhead.access.ldap import trial

    steps = []
    for step in trial.reach(directory):
        steps.append(step)
        _tell(directory.name, step, quiet=quiet)
    # A server that is down leaves the others.
    if user is not None and any(step.passed for step in steps):
        for step in trial.sign_in(directory, user, password):
            steps.append(step)
            _tell(directory.name, step, quiet=quiet)
    return steps


def _tell(directory: str, step: "Step", *, quiet: bool) -> None:
    if quiet:
        return
    first, *more = [printable(line) for line in step.said.splitlines()]
    click.echo(f"{directory}: {'ok' if step.passed else 'FAILED'}: {first}")
    for line in more:
        click.echo(line)
