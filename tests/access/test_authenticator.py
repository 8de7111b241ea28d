"""Who asks, and may they."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pierhead.access.authenticator import Access, Admitted
from pierhead.access.htpasswd import Account
from pierhead.access.loopback import Headers
from pierhead.access.principal import ANONYMOUS
from pierhead.access_settings import AccessSettings
from pierhead.errors import OpenModeRefused, TooManyRequests, Unauthenticated
from pierhead.metadata.database import Database
from pierhead.metadata.sqlite.database import SqliteDatabase
from pierhead.models import RepositoryName
from pierhead.settings import Settings
from pierhead.verbs import ALL, Verb
from tests.access.hashed import fast, write

pytestmark = pytest.mark.anyio

LOCAL = "127.0.0.1"
APP = RepositoryName("team/app")
Opened = Callable[..., AbstractContextManager[Access]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with SqliteDatabase(tmp_path / "rows.db") as database:
        yield database


@pytest.fixture
def opened(database: Database) -> Opened:
    def opened(**settings: object) -> Access:
        access = AccessSettings.model_validate(settings)
        return Access(database, Settings(access=access))

    return opened


def basic(name: str, password: str) -> Headers:
    return [(b"host", b"hub.example"), raw(b"Basic " + base64.b64encode(f"{name}:{password}".encode()))]


def raw(authorization: bytes) -> tuple[bytes, bytes]:
    return (b"authorization", authorization)


async def sign_in(access: Access, headers: Headers) -> Admitted:
    return await access.admit(headers, LOCAL, APP)


@pytest.fixture
def accounts(tmp_path: Path) -> Path:
    return write(tmp_path / "accounts", fast("admin", "secret"))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The passwords that were hashed."""
    hashed: list[bytes] = []
    accepts = Account.accepts

    def counting(self: Account, password: bytes) -> bool:
        hashed.append(password)
        time.sleep(0.05)
        return accepts(self, password)

    monkeypatch.setattr(Account, "accepts", counting)
    return hashed


async def test_without_accounts_a_local_client_is_anonymous_and_may_do_everything(opened: Opened) -> None:
    with opened() as access:
        admitted = await access.admit([(b"host", b"localhost")], LOCAL, APP)

    assert admitted.principal is ANONYMOUS
    assert admitted.verbs == ALL


async def test_without_accounts_a_proxied_request_is_refused(opened: Opened) -> None:
    with opened() as access, pytest.raises(OpenModeRefused):
        await access.admit([(b"host", b"localhost"), (b"via", b"1.1 x")], LOCAL, APP)


async def test_allow_anonymous_lets_strangers_in(opened: Opened) -> None:
    with opened(allow_anonymous=True) as access:
        admitted = await access.admit([(b"host", b"hub.example"), (b"via", b"1.1 x")], "9.9.9.9", APP)

    assert admitted.principal is ANONYMOUS
    assert admitted.verbs == ALL


async def test_an_account_signs_in_and_is_remembered(accounts: Path, opened: Opened, counted: list[bytes]) -> None:
    with opened(htpasswd=accounts) as access:
        first = await sign_in(access, basic("admin", "secret"))
        again = await sign_in(access, basic("admin", "secret"))

    assert first.principal == again.principal
    assert (first.principal.name, first.principal.credential, first.principal.source) == (
        "admin",
        "password",
        "htpasswd",
    )
    assert counted == [b"secret"]
    assert {Verb.PUSH, Verb.DELETE_MANIFEST} <= first.verbs


async def test_a_wrong_password_is_refused_each_time(accounts: Path, opened: Opened, counted: list[bytes]) -> None:
    with opened(htpasswd=accounts) as access:
        for _ in range(2):
            with pytest.raises(Unauthenticated):
                await sign_in(access, basic("admin", "guess"))

    assert len(counted) == 2


async def test_an_unknown_name_costs_a_hash_too(accounts: Path, opened: Opened, counted: list[bytes]) -> None:
    with opened(htpasswd=accounts) as access, pytest.raises(Unauthenticated):
        await sign_in(access, basic("nobody", "secret"))

    assert counted == [b"secret"]


@pytest.mark.parametrize(
    "authorization",
    [
        b"",
        b"Basic",
        b"Basic !!!",
        b"Basic YWRtaW4",
        b"Basic " + base64.b64encode(b"no colon"),
        b"Basic " + base64.b64encode(b"\xff\xfe:x"),
        b"Basic " + base64.b64encode(b"x:\xff"),
        b"Basic " + b"A" * 100_000,
        b"Bearer abc",
        b"Digest x",
        b"Basic " + base64.b64encode(b"admin:" + b"x" * 5000),
    ],
)
async def test_malformed_credentials_are_refused_without_a_hash(
    authorization: bytes, accounts: Path, opened: Opened, counted: list[bytes]
) -> None:
    with opened(htpasswd=accounts) as access, pytest.raises(Unauthenticated):
        await sign_in(access, [raw(authorization)])

    assert counted == []


async def test_the_scheme_is_read_in_any_case(accounts: Path, opened: Opened) -> None:
    with opened(htpasswd=accounts) as access:
        admitted = await sign_in(access, [raw(b"bAsIc  " + base64.b64encode(b"admin:secret"))])

    assert admitted.principal.name == "admin"


async def test_with_accounts_an_anonymous_request_may_do_nothing(accounts: Path, opened: Opened) -> None:
    with opened(htpasswd=accounts) as access:
        admitted = await access.admit([(b"host", b"localhost")], LOCAL, APP)

    assert admitted.unsigned
    assert not admitted.verbs


async def test_with_accounts_and_allow_anonymous_the_anonymous_may_pull_alone(accounts: Path, opened: Opened) -> None:
    with opened(htpasswd=accounts, allow_anonymous=True) as access:
        admitted = await sign_in(access, basic("admin", "secret"))

        assert (await access.admit([], LOCAL, APP)).verbs == {Verb.PULL}
        assert Verb.PUSH in admitted.verbs
        with pytest.raises(Unauthenticated):
            await sign_in(access, basic("admin", "guess"))


async def test_parallel_requests_share_one_hash(accounts: Path, opened: Opened, counted: list[bytes]) -> None:
    with opened(htpasswd=accounts) as access:
        found = await asyncio.gather(*(sign_in(access, basic("admin", "secret")) for _ in range(50)))

    assert {admitted.principal.name for admitted in found} == {"admin"}
    assert counted == [b"secret"]


async def test_a_client_that_leaves_does_not_spoil_it_for_the_others(
    accounts: Path, opened: Opened, counted: list[bytes]
) -> None:
    with opened(htpasswd=accounts) as access:
        first = asyncio.ensure_future(sign_in(access, basic("admin", "secret")))
        second = asyncio.ensure_future(sign_in(access, basic("admin", "secret")))
        await asyncio.sleep(0.01)
        first.cancel()

        assert (await second).principal.name == "admin"

    assert counted == [b"secret"]


@pytest.mark.usefixtures("counted")
async def test_more_checks_than_may_wait_are_turned_away(accounts: Path, opened: Opened) -> None:
    with opened(htpasswd=accounts, hash_concurrency=1, hash_queue=2) as access:
        guesses = [sign_in(access, basic("admin", f"guess {number}")) for number in range(5)]
        results = await asyncio.gather(*guesses, return_exceptions=True)

    assert [type(result) for result in results] == [Unauthenticated] * 3 + [TooManyRequests] * 2


async def test_a_changed_file_ends_what_was_remembered(accounts: Path, opened: Opened) -> None:
    with opened(htpasswd=accounts) as access:
        await sign_in(access, basic("admin", "secret"))
        write(accounts, fast("admin", "changed"), age=5)
        passed(access)

        with pytest.raises(Unauthenticated):
            await sign_in(access, basic("admin", "secret"))
        assert (await sign_in(access, basic("admin", "changed"))).principal.name == "admin"


@pytest.mark.usefixtures("counted")
async def test_a_file_that_changes_during_a_check_decides_it(accounts: Path, opened: Opened) -> None:
    with opened(htpasswd=accounts) as access:
        signing_in = asyncio.ensure_future(sign_in(access, basic("admin", "secret")))
        await asyncio.sleep(0.01)
        write(accounts, fast("admin", "changed"), age=5)
        passed(access)

        with pytest.raises(Unauthenticated):
            await signing_in


async def test_what_was_remembered_expires(accounts: Path, opened: Opened, counted: list[bytes]) -> None:
    with opened(htpasswd=accounts, verified_seconds=0.01) as access:
        await sign_in(access, basic("admin", "secret"))
        await asyncio.sleep(0.02)
        await sign_in(access, basic("admin", "secret"))

    assert len(counted) == 2


async def test_what_is_remembered_is_bounded(accounts: Path, opened: Opened, counted: list[bytes]) -> None:
    write(accounts, *(fast(f"user{number}", "x") for number in range(20)))
    with opened(htpasswd=accounts, verified_entries=16) as access:
        for number in (*range(20), 19, 0):
            await sign_in(access, basic(f"user{number}", "x"))

    assert len(counted) == 21  # the last one was remembered, the first one no more


def passed(access: Access) -> None:
    """The second between two looks at the file is over."""
    assert access.passwords._file is not None
    access.passwords._file._look_again = 0.0
