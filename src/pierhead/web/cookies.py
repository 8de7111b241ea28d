"""The cookies of the pages: to this host alone, unseen by scripts, not sent by other sites' forms.

Over HTTPS their names begin with __Host-, which browsers let nobody set who is not this very host over HTTPS.
"""

from collections.abc import Mapping
from typing import Literal

from starlette.responses import Response

Name = Literal["session", "form", "step", "issuer"]

_NAMES: dict[Name, str] = {"session": "pierhead", "form": "pierhead-form", "step": "pierhead-step",
                           "issuer": "pierhead-issuer"}  # fmt: skip


class Jar:
    def __init__(self, sent: Mapping[str, str], *, secure: bool) -> None:
        self._sent = sent
        self._secure = secure
        self._changes: dict[Name, tuple[str, int | None]] = {}

    def name(self, name: Name) -> str:
        # Another one over plain HTTP: a name that begins with __Host- needs Secure.
        return f"__Host-{_NAMES[name]}" if self._secure else f"{_NAMES[name]}-http"

    def get(self, name: Name) -> str | None:
        if name in self._changes:
            return self._changes[name][0] or None
        return self._sent.get(self.name(name))

    def set(self, name: Name, value: str, *, seconds: int | None = None) -> None:
        """Until the browser closes, or for so long."""
        self._changes[name] = value, seconds

    def drop(self, name: Name) -> None:
        if self._sent.get(self.name(name)) is not None or name in self._changes:
            self._changes[name] = "", 0

    def write(self, response: Response) -> None:
        for name, (value, seconds) in self._changes.items():
            response.set_cookie(
                self.name(name), value, max_age=seconds, path="/", secure=self._secure, httponly=True, samesite="lax"
            )
        self._changes.clear()
