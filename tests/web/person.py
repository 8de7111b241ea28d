"""Somebody at a browser, as far as HTTP goes: keeps cookies, and sends forms with what their pages had in them."""

import re
import time
from html import unescape
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from pierhead.metadata.sqlite import engine
from tests.access.hashed import argon2
from tests.running import Running

PASSWORD = "correct horse battery"
_HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')
_FORM = re.compile(r"<form\b.*?</form>", re.DOTALL)
_SETUP = re.compile(r"http\S+(/setup\?token=[\w-]+)")


class Person:
    def __init__(self, server: Running, **headers: str) -> None:
        self.client = httpx.Client(base_url=server.url, headers=headers, timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.client.close()

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path)

    def token(self, page: str, action: str | None = None) -> dict[str, str]:
        """The hidden fields of a page's form."""
        return hidden(self.get(page).text, action)

    def send(self, page: str, action: str | None = None, /, **fields: str) -> httpx.Response:
        """Fills in the form of a page that goes to `action`, which is the page's own address where nothing is said."""
        action = action or page.partition("?")[0]
        return self.client.post(action, data={**self.token(page, action), **fields})

    def sign_in(self, name: str = "admin", password: str = PASSWORD, to: str = "") -> httpx.Response:
        return self.send(f"/sign-in?to={to}" if to else "/sign-in", name=name, password=password)

    def is_signed_in(self) -> bool:
        return self.get("/account").status_code == 200

    def cookie(self, name: str = "pierhead-http") -> str | None:
        return self.client.cookies.get(name)


def hidden(page: str, action: str | None = None) -> dict[str, str]:
    forms = [form for form in _FORM.findall(page) if action is None or f'action="{action}"' in form]
    assert forms, f"no form to {action}: {page[:3000]}"
    return {name: unescape(value) for name, value in _HIDDEN.findall(forms[0])}


def setup_address(log: Path) -> str:
    """What the last start printed."""
    ending = time.monotonic() + 10
    while time.monotonic() < ending:
        if found := _SETUP.findall(log.read_text()):
            return str(found[-1])
        time.sleep(0.02)
    raise AssertionError(f"no setup address: {log.read_text()}")


def set_up(server: Running, name: str = "admin", password: str = PASSWORD) -> None:
    """Makes the first administrator."""
    with Person(server) as person:
        made = person.send(setup_address(server.log), name=name, password=password, again=password)
        assert made.status_code == 303, made.text
        assert person.is_signed_in()


def add_user(data: Path, name: str) -> None:
    """A local user with the password of all, whose hash takes no time."""
    change(
        data,
        f"""
        INSERT INTO principals (kind, name, source, subject, display, email, groups, made_at)
        VALUES ('user', '{name}', 'local', '{name}', '', '', '[]', 0);
        INSERT INTO passwords (principal_id, hashed, version, changed_at)
        SELECT id, '{_hash()}', 1, 0 FROM principals WHERE name = '{name}';
        """,
    )


def quicken(data: Path, name: str) -> None:
    """The same password by a hash that takes no time."""
    owner = f"(SELECT id FROM principals WHERE name = '{name}')"
    change(data, f"UPDATE passwords SET hashed = '{_hash()}' WHERE principal_id = {owner}")


def _hash() -> str:
    return argon2("any", PASSWORD).partition(":")[2]


def change(data: Path, sql: str) -> None:
    connection = engine.connect(data / "pierhead.db")
    connection.execute(sql)
    connection.close()
