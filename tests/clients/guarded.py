"""A server with accounts of all kinds, for the clients to sign in to.

`team` is private and `open` public, with an image and a chart in each; `own` is private and empty.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from pierhead import places
from pierhead.accounts import secret
from pierhead.accounts.by import By
from pierhead.accounts.scopes import Scope
from pierhead.configuration import load
from pierhead.metadata.sqlite import engine
from pierhead.models import Actor
from pierhead.settings import Settings
from pierhead.verbs import ALL
from tests.access.hashed import fast, write
from tests.clients import signing_in
from tests.clients.image import Image
from tests.clients.programs import program
from tests.clients.signing_in import Account
from tests.running import Running, serving

ADMIN = ("admin", "correct horse")  # of the htpasswd file: all, everywhere
READER = ("reader", "battery staple")  # a local account that reads team
BUILDER = ("builder", "staple battery")  # a local account that writes to own, and sees nothing of team
ROBOT = "team+ci"  # which writes to team
ISSUER = "https://builds.example.org"
AUDIENCE = "https://registry.example.org"

_SETTINGS = """
[server]
data = "{folder}/data"

[access]
htpasswd = "{folder}/auth"
# All clients come from one address, each with some wrong ones.
wrong_passwords = 1000

[[keyless]]
name = "app-main"
issuer = "{issuer}"
audience = "{audience}"
claims = {{ repository = "acme/app" }}
role = "writer"
scope = "team/**"
jwks_file = "{folder}/keys.json"
"""


@dataclass(frozen=True, slots=True)
class Guarded:
    server: Running
    key: ec.EllipticCurvePrivateKey  # of an issuer whose workflows come in

    @property
    def host(self) -> str:
        return self.server.host

    def command(self, *arguments: str, stdin: str = "") -> dict[str, Any]:
        """`pierhead …` beside the server, and what it says."""
        command = [sys.executable, "-m", "pierhead.cli.main", *arguments, "--data", str(self.server.data), "--json"]
        ran = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, f"{' '.join(arguments)}:\n{ran.stdout}{ran.stderr}"
        told: dict[str, Any] = json.loads(ran.stdout)
        return told

    def change(self, sql: str, **values: int | str | bytes) -> int:
        """The id of what is inserted."""
        connection = engine.connect(self.server.data / "pierhead.db")
        try:
            connection.execute(sql, values)
            return connection.last_insert_rowid()
        finally:
            connection.close()

    def values(self, sql: str, **values: str) -> list[str]:
        """The first column."""
        connection = engine.connect(self.server.data / "pierhead.db")
        try:
            return [str(row[0]) for row in connection.execute(sql, values)]
        finally:
            connection.close()

    def token(self, owner: str, kind: secret.Kind = "personal") -> "Token":
        """As `pierhead token create` makes them, without its start."""
        drawn = secret.draw()
        made = self.change(
            """
            INSERT INTO tokens (kind, principal_id, name, hashed, made_at)
            SELECT :kind, id, 'test', :hashed, 1 FROM principals WHERE name = :owner
            """,
            kind=kind,
            owner=owner,
            hashed=secret.hashed(drawn),
        )
        return Token(self, owner, made, secret.show(kind, made, drawn))

    def workflow_token(self, **changed: Any) -> str:
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "repo:acme/app", "repository": "acme/app", "iat": now}
        return jwt.encode({**claims, "exp": now + 300, **changed}, self.key, "ES256", {"kid": "builds"})


@dataclass(frozen=True, slots=True)
class Token:
    guarded: Guarded
    owner: str
    id: int
    text: str

    @property
    def account(self) -> Account:
        return self.owner, self.text

    def revoke(self) -> None:
        self.guarded.change("UPDATE tokens SET revoked_at = 1 WHERE id = :id", id=self.id)

    def expire(self) -> None:
        self.guarded.change("UPDATE tokens SET expires_at = 1 WHERE id = :id", id=self.id)


@contextmanager
def guarded(folder: Path) -> Iterator[Guarded]:
    key = ec.generate_private_key(ec.SECP256R1())
    jwk = ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": "builds"}
    (folder / "keys.json").write_text(json.dumps({"keys": [jwk]}))
    write(folder / "auth", fast(*ADMIN))
    settings = folder / "pierhead.toml"
    settings.write_text(_SETTINGS.format(issuer=ISSUER, audience=AUDIENCE, folder=folder))
    with serving(folder / "data", "--config", str(settings), "--workers", "2", "--access-log", "all") as server:
        asyncio.run(_add_accounts(load(settings).settings))
        yield Guarded(server, key)


async def _add_accounts(settings: Settings) -> None:
    """As the commands do, without their start."""
    by = By(Actor("test"), ALL)
    async with places.accounts(settings) as accounts:
        for name in ("team", "own"):
            await accounts.projects.create(name, by=by)
        await accounts.projects.create("open", visibility="public", by=by)
        for (user, password), role, project in ((READER, "reader", "team"), (BUILDER, "writer", "own")):
            await accounts.users.create(user, password, by=by)
            await accounts.grants.add(user, role, Scope(project), by=by)
        await accounts.robots.create(ROBOT, "writer", by=by)


def publish(made: Guarded, image: Image, home: Path) -> None:
    """An image and a chart, in `team` and in `open`."""
    crane, helm = program("crane", home), program("helm", home)
    crane("auth", "login", made.host, "-u", ADMIN[0], "-p", ADMIN[1])
    chart = signing_in.package(helm, home)
    config = Path(home, ".docker/config.json")
    for project in ("team", "open"):
        crane("push", image.layout, f"{made.host}/{project}/app:1")
        helm("push", "--plain-http", "--registry-config", config, chart, f"oci://{made.host}/{project}")
