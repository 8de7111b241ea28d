"""People whom their directory knows no more, on both databases: who is suspended, until when, and who is not."""

from dataclasses import replace

import pytest

from pierhead.access.decisions import Decisions, Given
from pierhead.access.ldap.failures import DirectoryRefused
from pierhead.access.leavers import Leavers
from pierhead.access.principal import Principal
from pierhead.access.sources import Identity, SourceUnavailable
from pierhead.access.users import Users
from pierhead.access_settings import ProjectSettings
from pierhead.accounts import finding
from pierhead.errors import DirectoryDoubtful, SignInUnavailable, Unauthenticated
from pierhead.metadata import principals
from pierhead.metadata.database import Database, Transaction
from pierhead.metadata.principals import Principal as Row
from tests.accounts.changing import OPERATOR

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Company:
    """A directory whose answers are written down."""

    name = "ldap:corp"

    def __init__(self, *names: str) -> None:
        self.people = {name: Identity(self.name, name, f"id-{name}", groups=("dev",)) for name in names}
        self.silent: set[str] = set()

    async def look_up(self, name: str, subject: str) -> Identity | None:
        if name in self.silent:
            raise SourceUnavailable("ldap:corp: no answer")
        found = self.people.get(name)
        return found if found is not None and found.subject == subject else None


@pytest.fixture
def company() -> Company:
    return Company(*(f"user{number}" for number in range(10)))


@pytest.fixture
async def users(either: Database, company: Company) -> Users:
    """All of the company were here once."""
    users = Users(either, ProjectSettings())
    for identity in company.people.values():
        await users.signed_in(identity)
    return users


async def row(database: Database, name: str) -> Row:
    found = await database.read(lambda tx: principals.find(tx, name))
    assert found is not None
    return found


async def gone(database: Database) -> list[str]:
    return [one.name for one in await database.read(lambda tx: principals.page(tx, "user", limit=100)) if one.gone_at]


async def look(database: Database, company: Company) -> None:
    await Leavers(database, company, share=0.2).look()


async def events(database: Database) -> list[tuple[object, ...]]:
    sql = "SELECT action, subject, actor, credential FROM events WHERE subject LIKE 'user:%' ORDER BY id"
    return list(await database.read(lambda tx: tx.fetch_all(sql)))


@pytest.mark.usefixtures("users")
async def test_who_left_is_refused_from_the_next_request_on_until_he_is_back(
    either: Database, company: Company
) -> None:
    decisions = Decisions(either, Given())
    principal = Principal("user3", "token", (await row(either, "user3")).id, source="ldap:corp")
    await decisions.epoch()
    await decisions.rights(principal)
    left = company.people.pop("user3")

    await look(either, company)
    await look(either, company)
    await decisions.epoch()
    with pytest.raises(Unauthenticated, match="suspended: ldap:corp knows it no more"):
        await decisions.rights(principal)
    company.people["user3"] = left
    await look(either, company)
    await decisions.epoch()
    await decisions.rights(principal)

    assert await events(either) == [
        ("user.suspended", "user:user3", "pierhead", "job"),
        ("user.returned", "user:user3", "pierhead", "job"),
    ]


async def test_who_signs_in_again_is_suspended_no_more(either: Database, company: Company, users: Users) -> None:
    back = company.people.pop("user3")
    await look(either, company)
    assert await gone(either) == ["user3"]

    await users.signed_in(back)

    assert await gone(either) == []
    assert (await events(either))[-1][:3] == ("user.returned", "user:user3", "user3")


@pytest.mark.usefixtures("users")
async def test_a_name_that_is_another_persons_now_is_that_of_one_who_left(either: Database, company: Company) -> None:
    company.people["user3"] = replace(company.people["user3"], subject="id-another")

    await look(either, company)

    assert await gone(either) == ["user3"]


@pytest.mark.usefixtures("users")
async def test_groups_and_addresses_are_brought_up_to_date_and_nothing_else_is_written(
    either: Database, company: Company
) -> None:
    before = await Decisions(either, Given()).epoch()
    await look(either, company)
    assert await Decisions(either, Given()).epoch() == before
    company.people["user3"] = replace(company.people["user3"], groups=(), email="u3@example.org")

    await look(either, company)

    assert (await row(either, "user3")).email == "u3@example.org"
    assert (await Decisions(either, Given()).epoch()).number == before.number + 1


@pytest.mark.usefixtures("users")
async def test_an_administrators_disabling_stays(either: Database, company: Company) -> None:
    disabled = (await row(either, "user3")).id
    await either.write(lambda tx: principals.disable(tx, disabled))
    company.people.pop("user3")
    await look(either, company)
    company.people["user3"] = Identity("ldap:corp", "user3", "id-user3")
    await look(either, company)

    found = await row(either, "user3")
    assert found.disabled_at is not None
    assert found.gone_at is None
    assert await events(either) == []


@pytest.mark.usefixtures("users")
async def test_one_who_cannot_be_looked_up_is_passed_over(either: Database, company: Company) -> None:
    company.silent = {"user1", "user5"}
    del company.people["user3"]

    await look(either, company)

    assert await gone(either) == ["user3"]


@pytest.mark.usefixtures("users")
async def test_a_directory_that_goes_silent_suspends_nobody(either: Database, company: Company) -> None:
    company.silent = {f"user{number}" for number in range(3, 10)}
    del company.people["user1"]

    with pytest.raises(SignInUnavailable, match="ldap:corp: no answer"):
        await look(either, company)

    assert await gone(either) == []


@pytest.mark.usefixtures("users")
async def test_too_many_leavers_at_once_are_taken_for_a_mistake(either: Database, company: Company) -> None:
    for number in range(5):
        del company.people[f"user{number}"]

    with pytest.raises(DirectoryDoubtful, match=r"ldap:corp knows 5 of 10 users no more; nobody was .*leavers_share"):
        await look(either, company)
    assert await gone(either) == []

    await Leavers(either, company, share=0.5).look()
    assert len(await gone(either)) == 5


async def test_all_of_few_people_do_not_leave_at_once(either: Database) -> None:
    company = Company("ann", "ben")
    users = Users(either, ProjectSettings())
    for identity in company.people.values():
        await users.signed_in(identity)
    company.people.clear()

    with pytest.raises(DirectoryDoubtful):
        await look(either, company)

    assert await gone(either) == []


async def test_who_is_left_of_few_is_not_suspended_after_the_others(either: Database) -> None:
    company = Company("ann", "ben", "cat")
    users = Users(either, ProjectSettings())
    for identity in company.people.values():
        await users.signed_in(identity)
    del company.people["ann"], company.people["ben"]
    await look(either, company)
    company.people.clear()

    with pytest.raises(DirectoryDoubtful):
        await look(either, company)

    assert await gone(either) == ["ann", "ben"]


@pytest.mark.usefixtures("users")
async def test_entries_that_cannot_be_read_do_not_keep_the_others_from_being_looked_at(
    either: Database, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreadable = {f"user{number}" for number in range(7)}
    look_up = company.look_up

    async def refusing(name: str, subject: str) -> Identity | None:
        if name in unreadable:
            raise SourceUnavailable(name) from DirectoryRefused("no name")
        return await look_up(name, subject)

    monkeypatch.setattr(company, "look_up", refusing)
    del company.people["user9"]

    await look(either, company)

    assert await gone(either) == ["user9"]


async def test_an_administrator_ends_a_suspension_by_hand(either: Database) -> None:
    company = Company("ann", "ben", "cat")
    for identity in company.people.values():
        await Users(either, ProjectSettings()).signed_in(identity)
    del company.people["ann"]
    await look(either, company)

    await either.write(lambda tx: _enabled(tx, "ann"))

    assert await gone(either) == []
    assert (await events(either))[-1][0] == "user.enabled"


async def _enabled(tx: Transaction, name: str) -> None:
    await finding.set_disabled(tx, await finding.find(tx, name, "user"), disabled=False, by=OPERATOR)


async def test_a_directory_that_answers_about_none_of_few_is_said_to_be_silent(either: Database) -> None:
    company = Company("ann")
    await Users(either, ProjectSettings()).signed_in(company.people["ann"])
    company.silent = {"ann"}

    with pytest.raises(SignInUnavailable):
        await look(either, company)
