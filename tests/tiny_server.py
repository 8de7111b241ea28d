"""Runs the supervisor with the tiny application: `python tests/tiny_server.py CONFIG`."""

import sys
from pathlib import Path

from pierhead import supervisor
from pierhead.configuration import load
from pierhead.errors import ConfigurationError
from pierhead.observability import logs
from pierhead.settings import Settings


def settings() -> Settings:
    return load(Path(sys.argv[1]), environment={}).settings


def main() -> int:
    given = settings()
    logs.configure(logs.resolve(given.log.format), given.log.level)
    try:
        return supervisor.serve(given, settings, "tests.tiny_application:build")
    except ConfigurationError as error:
        sys.stderr.write("\n".join(error.mistakes))
        return 2


if __name__ == "__main__":
    sys.exit(main())
