"""Every role at every kind of scope for everybody who can come in, by every way of signing in, on both databases.

The directory and the issuer are asked for real elsewhere (tests/access/ldap, tests/access/oidc); here stands what they
would say, so that whatever follows from it is the same for all ways.
"""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from pierhead.access.authenticator import Access, Admitted
from pierhead.access.bearer import Bearers, Opened
from pierhead.access.principal import Principal
from pierhead.access.sources import Identity
from pierhead.access_settings import (
    AccessSettings,
    CertificateSettings,
    HtpasswdSettings,
    ProjectSettings,
    TokenSettings,
)
from pierhead.accounts.signing_keys import SigningKeys
from pierhead.metadata.database import Database
from pierhead.models import RepositoryName
from pierhead.settings import Settings
from pierhead.verbs import ACTIONS
from tests.access.hashed import fast, write
from tests.access.people import People
from tests.access.test_certificates import certificate
from tests.access.test_decisions import BELOW, ELSEWHERE, HERE, READER, ROLES

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse"
CLAIMED = frozenset(str(verb) for verbs in ACTIONS.values() for verb in verbs)  # what a bearer token can hold at all
Come = Callable[[RepositoryName], Awaitable[Admitted]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Corp:
    """A directory that knows ann."""

    name = "ldap:corp"

    async def check(self, name: str, password: bytes) -> Identity | None:
        return Identity(self.name, "ann", "uid=ann") if (name, password) == ("ann", PASSWORD.encode()) else None


@pytest.fixture
async def access(either: Database, tmp_path: Path) -> AsyncIterator[Access]:
    file = write(tmp_path / "htpasswd", fast("fred", PASSWORD))
    settings = Settings(
        access=AccessSettings(htpasswd=file),
        htpasswd=HtpasswdSettings(role="reader"),
        projects=ProjectSettings(create="granted"),
        certificates=CertificateSettings(header="X-Certificate"),
    )
    with Access(either, settings, directories=[Corp()]) as access:
        access.bearer = Bearers(SigningKeys(either, days=30), TokenSettings())
        yield access


def basic(name: str, password: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", b"Basic " + base64.b64encode(f"{name}:{password}".encode()))]


async def come(way: str, access: Access, people: People) -> tuple[int, Come]:
    """Somebody's id, and how he comes in at a place."""
    if way == "bearer":
        return await _by_bearer(access, people)
    if way == "session":
        principal = await access.users.signed_in(Identity("oidc:staff", "olga", "sub-olga"), credential="session")
        assert principal.id is not None
        return principal.id, lambda name: access.standing(principal, name)
    headers, by_proxy = await _headers(way, people), way == "certificate"

    async def admit(name: RepositoryName) -> Admitted:
        return await access.admit(headers, "10.0.0.1", name, by_proxy=by_proxy)

    found = (await admit(HERE)).principal.id
    assert found is not None
    return found, admit


async def _headers(way: str, people: People) -> list[tuple[bytes, bytes]]:
    if way == "local":
        await people.password(await people.user("lena"), PasswordHasher(time_cost=1, memory_cost=1024).hash(PASSWORD))
        return basic("lena", PASSWORD)
    if way == "personal token":
        return basic("anything", await people.token(await people.user("paul")))
    if way == "robot":
        return basic("+ci", await people.token(await people.user("+ci", kind="robot"), kind="robot"))
    if way == "certificate":
        return [(b"x-certificate", certificate("cora"))]
    return basic({"htpasswd": "fred", "directory": "ann"}[way], PASSWORD)


async def _by_bearer(access: Access, people: People) -> tuple[int, Come]:
    owner = Principal("bert", "password", await people.user("bert"), source="local")
    assert isinstance(access.bearer, Bearers)
    bearers = access.bearer

    async def admit(name: RepositoryName) -> Admitted:
        place = (await access.standing(owner, name)).place
        minted = await bearers.mint(owner, [Opened(name, frozenset(ACTIONS), place.project_id)])
        return await access.admit([(b"authorization", b"Bearer " + minted.token.encode())], "10.0.0.1", name)

    assert owner.id is not None
    return owner.id, admit


@pytest.mark.parametrize(
    "way",
    ["local", "htpasswd", "directory", "personal token", "robot", "bearer", "certificate", "session"],
)
async def test_each_way_in_gives_just_what_was_granted(way: str, access: Access, either: Database) -> None:
    people = People(either)
    await people.role("porter", "pull", "push")
    team, other = await people.project("team"), await people.project("other")
    await people.repository("team/web/front")
    who, admit = await come(way, access, people)
    always = READER if way == "htpasswd" else set()  # which is what the settings give to all of the file
    scopes = [(team, None, "here below"), (team, "web/*", "here"), (team, "web", "below"), (other, "**", "else"),
              (None, None, "here below else")]  # fmt: skip

    for role, verbs in ROLES.items():
        for project, pattern, where in scopes:
            grant = await people.grant(who, role, project, pattern)
            found = {word: await admit(name) for word, name in (("here", HERE), ("below", BELOW), ("else", ELSEWHERE))}
            await people.run("DELETE FROM grants WHERE id = :id", id=grant)
            for word, admitted in found.items():
                expected = always | (verbs if word in where.split() else set())
                if way == "bearer":
                    expected &= CLAIMED
                assert {str(verb) for verb in admitted.verbs} == expected, (role, pattern, word)
    assert {str(verb) for verb in (await admit(HERE)).verbs} == (always & CLAIMED if way == "bearer" else always)
