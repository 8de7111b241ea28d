"""How far a copy is, for whoever watches. The command line draws bars."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]


class Progress(Protocol):
    def bar(self, label: str, length: int) -> AbstractContextManager[Advance]:
        """Of so many steps; what it gives takes how many were made."""
        ...

    def say(self, line: str) -> None: ...


class Silent:
    """Nobody watches."""

    @contextmanager
    def bar(self, label: str, length: int) -> Iterator[Advance]:  # noqa: ARG002  as `Progress` has it
        yield _pass

    def say(self, line: str) -> None:
        pass


def _pass(_: int) -> None:
    pass
