"""`pierhead oidc`: trying out issuers, and the rules by which machines come in."""

# ruff: noqa: PLC0415

import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pierhead.cli.flags import CONFIGURATION_MISTAKES, config_flag, load, refuse
from pierhead.cli.local import as_json, echo_json, printable

if TYPE_CHECKING:
    from pierhead.access.oidc.trial import Step
    from pierhead.settings import Settings

_LONGEST = 256 * 1024  # characters of a token


@click.group()
def oidc() -> None:
    """Look at issuers of OpenID Connect, and at tokens of machines."""


@oidc.command()
@config_flag
@click.argument("name", required=False)
@as_json
def check(config: Path | None, name: str | None, *, as_json: bool) -> None:
    """Say whether issuers answer, and what to register at them.

    Without NAME, all of [[oidc]] and [[keyless]] are tried. Nothing is changed.
    """
    import asyncio

    from pierhead.access.oidc import trial

    settings = _settings(config)

    async def tried() -> list["Step"]:
        return [step async for step in trial.reach(settings, name)]

    steps = asyncio.run(tried())
    if not steps:
        known = ", ".join(table.name for table in (*settings.oidc, *settings.keyless)) or "none"
        refuse(
            [f"no issuer and no rule of this name is in the settings; there are: {known}"],
            CONFIGURATION_MISTAKES,
        )
    _tell(steps, passed=all(step.passed for step in steps), as_json=as_json)


@oidc.command()
@config_flag
@as_json
def token(config: Path | None, *, as_json: bool) -> None:
    """Say which rules of [[keyless]] a token fulfils, and what it lacks.

    The token is read from standard input, as a workflow got it from its issuer; it is not repeated.
    """
    import asyncio

    from pierhead.access.oidc import trial

    settings = _settings(config)
    steps = asyncio.run(trial.try_token(settings, sys.stdin.read(_LONGEST).strip()))
    _tell(steps, passed=any(step.passed for step in steps[1:]), as_json=as_json)


def _settings(config: Path | None) -> "Settings":
    from pierhead.access.oidc import files
    from pierhead.errors import ConfigurationError

    settings = load(config, {}).settings
    # What a server would log is told here as what came of it.
    logging.getLogger("pierhead").addHandler(logging.NullHandler())
    try:
        files.check(settings)
    except ConfigurationError as error:
        refuse(error.mistakes, CONFIGURATION_MISTAKES)
    return settings


def _tell(steps: "list[Step]", *, passed: bool, as_json: bool) -> None:
    if as_json:
        echo_json([asdict(step) for step in steps])
    else:
        for step in steps:
            first, *more = [printable(line) for line in step.said.splitlines()]
            click.echo(f"{step.name}: {'ok' if step.passed else 'FAILED'}: {first}")
            for line in more:
                click.echo(line)
    if not passed:
        raise SystemExit(1)
