"""What somebody may try who wants more than is his, or wants others to have less."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.requests import Request

from pierhead.access import rights as rights_module
from pierhead.access.authenticator import Access
from pierhead.access.bearer import Bearers
from pierhead.access.htpasswd import Account
from pierhead.access.issuing import Issuer
from pierhead.access.loopback import Headers
from pierhead.access.principal import ANONYMOUS, Principal
from pierhead.access.rights import Rights
from pierhead.access.scopes import parse
from pierhead.access.sources import Identity, WrongPassword
from pierhead.access_settings import AccessSettings
from pierhead.accounts.refresh_tokens import RefreshTokens
from pierhead.accounts.signing_keys import SigningKeys
from pierhead.errors import BadRequest, TooManyRequests, Unauthenticated
from pierhead.metadata.database import Database
from pierhead.metadata.sqlite.database import SqliteDatabase
from pierhead.models import Place, RepositoryName
from pierhead.settings import Settings
from pierhead.web import visit as visit_module
from pierhead.web.visit import Visit
from tests.access.hashed import fast, write
from tests.access.people import People, as_user

pytestmark = pytest.mark.anyio

LOCAL = "127.0.0.1"
APP = RepositoryName("team/app")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with SqliteDatabase(tmp_path / "rows.db") as database:
        yield database


def basic(name: str, password: str) -> Headers:
    return [(b"authorization", b"Basic " + base64.b64encode(f"{name}:{password}".encode()))]


def bearer(token: str) -> Headers:
    return [(b"authorization", b"Bearer " + token.encode())]


def access_to(database: Database, **settings: object) -> Access:
    return Access(database, Settings(access=AccessSettings.model_validate(settings)))


def refusing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Refuses all passwords, and tells with which kind of hash."""
    hashed: list[str] = []

    def accepts(self: Account, _: bytes) -> bool:
        hashed.append(self.kind.name)
        return False

    monkeypatch.setattr(Account, "accepts", accepts)
    return hashed


async def minted(access: Access, database: Database, principal: Principal, scope: str) -> str:
    """A bearer token, as /token gives it."""
    settings = Settings().tokens
    access.bearer = bearers = Bearers(SigningKeys(database, days=settings.key_days), settings)
    refresh = RefreshTokens(database, days=1, most=1)
    issuer = Issuer(access, bearers, refresh, settings)
    issued = await issuer.issue(principal, parse([scope], hosts=frozenset(), most=10))
    return issued.minted.token


async def test_who_leaves_the_file_is_out_also_where_a_check_of_a_password_saw_it_first(
    database: Database, tmp_path: Path
) -> None:
    file = write(tmp_path / "accounts", fast("ann", "secret"), fast("bob", "secret"))
    with access_to(database, htpasswd=file) as access:
        await access.admit(basic("ann", "secret"), LOCAL, APP)
        write(file, fast("bob", "secret"))
        await asyncio.sleep(1.1)  # the file is looked at once a second
        with pytest.raises(Unauthenticated):
            await access.passwords.check(b"any", "bob", b"guess", LOCAL)

        with pytest.raises(Unauthenticated):
            await access.admit(basic("ann", "secret"), LOCAL, APP)


async def test_rights_that_were_read_before_the_file_changed_are_not_remembered(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "accounts", fast("ann", "secret"))
    with access_to(database, htpasswd=file) as access:
        who = (await access.admit(basic("ann", "secret"), LOCAL, APP)).principal
        read = access.decisions._read

        async def slow(principal: Principal) -> Rights:
            found = await read(principal)
            access.decisions.forget()  # as another request does that sees the file change
            return found

        access.decisions.forget()
        monkeypatch.setattr(access.decisions, "_read", slow)
        await access.decisions.rights(who)

        assert not access.decisions._rights


@pytest.mark.parametrize(
    ("verbs", "scope"),
    [(("push",), "push"), (("tag.delete",), "delete"), (("pull",), "pull")],
)
async def test_a_bearer_token_gives_no_more_than_the_narrow_token_that_it_was_made_with(
    database: Database, verbs: tuple[str, ...], scope: str
) -> None:
    people = People(database)
    team = await people.project("team")
    await people.repository("team/app")
    ann = await people.user("ann")
    await people.grant(ann, "maintainer", team)
    narrow = await people.token(ann, verbs=verbs)
    await people.run("UPDATE access_epoch SET closed = 1")
    with access_to(database) as access:
        admitted = await access.admit(basic("ann", narrow), LOCAL, APP)
        token = await minted(access, database, admitted.principal, f"repository:team/app:{scope}")
        again = await access.admit(bearer(token), LOCAL, APP)

    assert set(map(str, again.verbs)) == set(verbs) == set(map(str, admitted.verbs))


async def test_a_bearer_token_goes_no_further_than_the_places_of_its_token_when_names_change(
    database: Database,
) -> None:
    people = People(database)
    team = await people.project("team")
    app = await people.repository("team/web/app")
    ann = await people.user("ann")
    await people.grant(ann, "maintainer", team)
    narrow = await people.token(ann, places=((team, "web/**"),))
    await people.run("UPDATE access_epoch SET closed = 1")
    asked = RepositoryName("team/web/app")
    with access_to(database) as access:
        admitted = await access.admit(basic("ann", narrow), LOCAL, asked)
        token = await minted(access, database, admitted.principal, "repository:team/web/app:pull")
        assert (await access.admit(bearer(token), LOCAL, asked)).verbs
        await people.run("UPDATE repositories SET name = 'team/secret' WHERE id = :id", id=app)
        await people.run(
            "INSERT INTO repository_aliases (name, repository_id, made_at) VALUES (:name, :id, 1)",
            name=asked,
            id=app,
        )

        assert not (await access.admit(basic("ann", narrow), LOCAL, asked)).verbs
        assert not (await access.admit(bearer(token), LOCAL, asked)).verbs


async def test_guesses_at_once_are_as_few_as_one_after_another(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = refusing(monkeypatch)
    file = write(tmp_path / "accounts", fast("ann", "secret"))
    with access_to(database, htpasswd=file) as access:
        guesses = (access.admit(basic("ann", f"guess {number}"), LOCAL, APP) for number in range(60))
        answers = await asyncio.gather(*guesses, return_exceptions=True)

    assert len(hashed) == AccessSettings().wrong_passwords
    assert {type(answer) for answer in answers} == {Unauthenticated, TooManyRequests}


@pytest.mark.parametrize("name", ["ann\0", "ann\r\n", "a" * 4000, ""])
async def test_a_name_that_no_database_takes_is_refused_like_any_other(either: Database, name: str) -> None:
    await People(either).run("UPDATE access_epoch SET closed = 1")
    with access_to(either) as access, pytest.raises(Unauthenticated, match="wrong name or password"):
        await access.admit(basic(name, "guess"), LOCAL, APP)


def test_names_that_strangers_think_of_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rights_module, "_PLACES", 10)
    rights = Rights()
    for number in range(100):
        rights.held(Place(RepositoryName(f"made/up{number}")))

    assert len(rights._held) <= 10


@pytest.mark.parametrize("name", ["@admins", "team+ci", "+mirror", "anonymous", "zoe"])
async def test_nobody_takes_a_name_of_a_team_of_a_robot_or_of_the_file_by_what_his_source_calls_him(
    database: Database, tmp_path: Path, name: str
) -> None:
    file = write(tmp_path / "accounts", fast("zoe", "secret"))
    with access_to(database, htpasswd=file) as access:
        with pytest.raises(Unauthenticated):
            await access.users.signed_in(Identity("oidc:corp", name, "7"), credential="oidc")

        mine = await access.users.signed_in(Identity("oidc:corp", "bob+news@example.org", "7"), credential="oidc")
        assert mine.name == "bob+news@example.org"
        assert (await access.admit(basic("zoe", "secret"), LOCAL, APP)).principal.source == "htpasswd"


async def test_nobody_in_particular_is_counted_by_address_also_with_a_token(database: Database) -> None:
    people = People(database)
    await people.project("team", visibility="public")
    await people.repository("team/app")
    await people.run("UPDATE access_epoch SET closed = 1")
    settings = Settings.model_validate({"limits": {"account_rate": 0.001, "account_burst": 1, "address_rate": 0}})
    with Access(database, settings) as access:
        token = await minted(access, database, ANONYMOUS, "repository:team/app:pull")
        for _ in range(3):  # what others of no name do from elsewhere
            assert (await access.admit(bearer(token), "10.0.0.1", APP)).verbs


class Directory:
    """One that knows `lea`, and refuses her every password."""

    name = "ldap:corp"

    async def check(self, name: str, _: bytes) -> Identity | None:
        if name == "lea":
            raise WrongPassword(name)
        return None


async def test_each_refusal_costs_the_same_hashes_whoever_it_is_and_whether_he_is_at_all(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = refusing(monkeypatch)
    people = People(database)
    await people.password(await people.user("ann"), "$argon2id$v=19$m=65536,t=3,p=4$" + "c" * 22 + "$" + "d" * 43)
    await people.user("leo", source="ldap:corp")
    file = write(tmp_path / "accounts", fast("zoe", "secret"))
    settings = Settings(access=AccessSettings(htpasswd=file))
    costs = {}
    with Access(database, settings, directories=[Directory()]) as access:
        for name in ("ann", "zoe", "lea", "leo", "nobody"):
            with pytest.raises(Unauthenticated, match="wrong name or password"):
                await access.admit(basic(name, "guess"), LOCAL, APP)
            costs[name] = sorted(hashed)
            hashed.clear()

    assert all(cost == costs["nobody"] for cost in costs.values()), costs
    assert len(costs["nobody"]) == 2


async def test_who_proves_nothing_is_counted_by_address_too(database: Database) -> None:
    await People(database).run("UPDATE access_epoch SET closed = 1")
    settings = Settings.model_validate({"limits": {"address_rate": 0.001, "address_burst": 2}})
    false = f"phd_pat_1_{'a' * 43}000000"
    with Access(database, settings) as access:
        for refusal in (Unauthenticated, Unauthenticated, TooManyRequests):
            with pytest.raises(refusal):
                await access.admit(bearer(false), LOCAL, APP)


async def test_a_private_repository_of_a_public_project_is_refused_like_one_that_is_not_there(
    either: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = People(either)
    await people.project("open", visibility="public")
    await people.repository("open/secret", visibility="private")
    bob = as_user(await people.user("bob"), "bob")
    await people.run("UPDATE access_epoch SET closed = 1")
    with access_to(either) as access:
        reads: list[RepositoryName] = []
        place = access.decisions.place

        async def counting(name: RepositoryName, *, anew: bool = False) -> Place:
            reads.extend([name] if anew or name not in access.decisions._places else [])
            return await place(name, anew=anew)

        monkeypatch.setattr(access.decisions, "place", counting)
        for principal in (ANONYMOUS, bob, ANONYMOUS, bob):
            reads.clear()
            for name in ("open/secret", "open/nothing"):
                assert not (await access.standing(principal, RepositoryName(name))).verbs
            # As much is asked of the database for what is there as for what is not.
            assert reads.count(RepositoryName("open/secret")) == reads.count(RepositoryName("open/nothing"))

        await people.repository("open/nothing")
        assert (await access.standing(bob, RepositoryName("open/nothing"))).verbs


async def test_a_form_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def receive() -> dict[str, object]:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"a", "more_body": True}

    monkeypatch.setattr(visit_module, "_FORM_SECONDS", 0.1)
    kind = (b"content-type", b"application/x-www-form-urlencoded")
    visit = Visit.__new__(Visit)
    visit.request = Request({"type": "http", "method": "POST", "headers": [kind]}, receive)

    with pytest.raises(BadRequest, match="within"):
        await visit._read_form()
