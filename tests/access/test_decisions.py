"""What is held by whom, on both databases: every role at every kind of scope, and what takes it away again."""

import base64
import time
from pathlib import Path

import pytest

from pierhead.access.authenticator import Access
from pierhead.access.decisions import Decisions, Given
from pierhead.access.principal import ANONYMOUS, Principal
from pierhead.access.rights import Rights
from pierhead.access_settings import AccessSettings, CertificateSettings, ProjectSettings
from pierhead.errors import Unauthenticated
from pierhead.issuer_settings import OidcSettings
from pierhead.metadata.database import Database
from pierhead.models import RepositoryName
from pierhead.settings import ServerSettings, Settings
from pierhead.verbs import Verb
from tests.access.hashed import fast, write
from tests.access.people import People, as_user

pytestmark = pytest.mark.anyio

# Written down here once more, by hand: a change of the roles has to be meant.
READER = {"pull", "history.read", "policy.read"}
WRITER = READER | {"push", "tag.move"}
MAINTAINER = WRITER | {
    "tag.delete", "manifest.delete", "blob.delete", "restore", "pin", "repository.delete", "policy.write",
    "member.read", "robot.read",
}  # fmt: skip
ADMIN = MAINTAINER | {
    "purge", "repository.rename", "member.write", "robot.write", "audit.read", "project.delete", "project.rename",
}  # fmt: skip
SYSTEM = {"project.create", "user.read", "user.write", "role.write", "system.read", "system.write"}
ROLES = {
    "reader": READER,
    "writer": WRITER,
    "maintainer": MAINTAINER,
    "admin": ADMIN,
    "auditor": READER | {"member.read", "robot.read", "audit.read"},
    "porter": {"pull", "push"},
}
# A header for certificates is a source, so that the registry is open to nobody.
SETTINGS = Settings(
    projects=ProjectSettings(create="granted"), certificates=CertificateSettings(header="X-Certificate")
)
NOBODY_CREATES = Given(users_create_projects=False)

HERE, BELOW, ELSEWHERE = RepositoryName("team/web/front"), RepositoryName("team/web"), RepositoryName("other/app")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def held(decisions: Decisions, principal: Principal, name: RepositoryName) -> set[str]:
    await decisions.epoch()
    rights = await decisions.rights(principal)
    return {str(verb) for verb in rights.held(await decisions.place(name))}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("through", ["himself", "a team", "a group", "everybody"])
async def test_each_role_gives_its_verbs_where_it_was_granted_and_nowhere_else(
    either: Database, role: str, through: str
) -> None:
    people = People(either)
    await people.role("porter", "pull", "push", "a verb that this version does not know")
    team, other = await people.project("team"), await people.project("other")
    await people.repository("team/web/front")
    alice = await people.user("alice", source="ldap:corp", groups=("developers",))
    to: int | None = alice
    if through == "a team":
        to = await people.user("@dev", kind="team")
        await people.member(to, alice)
    elif through == "a group":
        to = await people.user("@dev", kind="team", source="ldap:corp")
        await people.run("UPDATE principals SET subject = 'developers' WHERE id = :id", id=to)
    elif through == "everybody":
        to = None
    decisions, asks = Decisions(either, NOBODY_CREATES), as_user(alice, source="ldap:corp")

    scopes: list[tuple[int | None, str | None, tuple[set[str], set[str], set[str]]]] = [
        (team, None, (ROLES[role], ROLES[role], set())),
        (team, "web/*", (ROLES[role], set(), set())),
        (team, "web", (set(), ROLES[role], set())),
        (other, "**", (set(), set(), ROLES[role])),
        (None, None, (ROLES[role], ROLES[role], ROLES[role])),
    ]
    assert [await held(decisions, asks, name) for name in (HERE, BELOW, ELSEWHERE)] == [set()] * 3
    for project, pattern, expected in scopes:
        grant = await people.grant(to, role, project, pattern)
        found = tuple([await held(decisions, asks, name) for name in (HERE, BELOW, ELSEWHERE)])
        system = {str(verb) for verb in (await decisions.rights(asks)).system}
        await people.run("DELETE FROM grants WHERE id = :id", id=grant)

        assert found == expected, (project, pattern)
        in_system = SYSTEM if role == "admin" else {"user.read", "system.read"} if role == "auditor" else set()
        assert system == (ROLES[role] | in_system if project is None else set())
    assert [await held(decisions, asks, name) for name in (HERE, BELOW, ELSEWHERE)] == [set()] * 3


async def test_anonymous_pulls_what_is_public_and_nothing_else(either: Database) -> None:
    people = People(either)
    await people.project("open", visibility="public")
    await people.project("team")
    await people.repository("team/shown", visibility="public")
    await people.repository("open/app")
    await people.repository("open/hidden", visibility="private")
    decisions = Decisions(either, NOBODY_CREATES)

    names = ("open/app", "open/missing", "open/hidden", "team/app", "team/shown", "missing/app")
    found = {name: await held(decisions, ANONYMOUS, RepositoryName(name)) for name in names}

    assert {name for name, verbs in found.items() if verbs} == {"open/app", "team/shown"}
    assert found["open/app"] == found["team/shown"] == {"pull"}
    await people.run("UPDATE projects SET visibility = 'private' WHERE name = 'open'")
    assert await held(decisions, ANONYMOUS, RepositoryName("open/app")) == set()


async def test_a_user_may_push_to_a_project_that_is_not_there_where_users_make_projects(either: Database) -> None:
    alice = as_user(await People(either).user("alice"))
    robot = Principal("+ci", "token", await People(either).user("+ci", kind="robot"))
    name = RepositoryName("new/app")

    assert await held(Decisions(either, Given()), alice, name) == {"pull", "push", "tag.move"}
    assert await held(Decisions(either, NOBODY_CREATES), alice, name) == set()
    assert await held(Decisions(either, Given()), robot, name) == set()
    assert await held(Decisions(either, Given()), ANONYMOUS, name) == set()


async def test_who_may_push_everywhere_may_not_make_projects_by_that(either: Database) -> None:
    people = People(either)
    bob = await people.user("bob")
    await people.grant(bob, "writer")

    assert "push" not in await held(Decisions(either, NOBODY_CREATES), as_user(bob), RepositoryName("new/app"))
    assert "push" in await held(Decisions(either, Given()), as_user(bob), RepositoryName("new/app"))


async def test_a_grant_goes_with_its_project_and_does_not_open_one_of_the_same_name(either: Database) -> None:
    people = People(either)
    alice = await people.user("alice")
    await people.grant(alice, "admin", await people.project("team"))
    decisions = Decisions(either, NOBODY_CREATES)
    assert "push" in await held(decisions, as_user(alice), HERE)

    await people.run("UPDATE projects SET name = name || '@' || id WHERE name = 'team'")
    await people.project("team")

    assert await held(decisions, as_user(alice), HERE) == set()


async def test_what_somebody_was_called_leads_to_him_no_more(either: Database) -> None:
    people = People(either)
    alice = await people.user("alice")
    asks = Principal("alice", "password", alice, version=1, source="local")
    await people.password(alice, "$argon2id$")
    decisions = Decisions(either, NOBODY_CREATES)
    await decisions.epoch()
    await decisions.rights(asks)

    await people.run("UPDATE passwords SET version = 2 WHERE principal_id = :id", id=alice)
    await decisions.epoch()
    with pytest.raises(Unauthenticated, match="changed"):
        await decisions.rights(asks)
    await people.run("UPDATE principals SET disabled_at = 1 WHERE id = :id", id=alice)
    await decisions.epoch()
    with pytest.raises(Unauthenticated, match="disabled"):
        await decisions.rights(as_user(alice))


async def test_a_name_that_something_had_leads_to_what_it_is_called_now(either: Database) -> None:
    people = People(either)
    alice = await people.user("alice")
    team = await people.project("team")
    app = await people.repository("team/app")
    await people.grant(alice, "reader", team)
    await people.run("INSERT INTO repository_aliases (name, repository_id, made_at) VALUES ('old/app', :id, 1)", id=app)
    await people.run("INSERT INTO project_aliases (name, project_id, made_at) VALUES ('crew', :id, 1)", id=team)
    decisions = Decisions(either, NOBODY_CREATES)

    for asked, name in (("old/app", "team/app"), ("crew/app", "team/app"), ("crew/new", "team/new"), ("crew", "team")):
        await decisions.epoch()
        assert (await decisions.place(RepositoryName(asked))).name == name
        assert await held(decisions, as_user(alice), RepositoryName(asked)) == READER
    assert await held(decisions, as_user(alice), RepositoryName("old/other")) == set()


@pytest.mark.parametrize("kind", ["personal", "robot"])
async def test_a_token_is_good_for_what_it_names_until_it_is_revoked_or_over(either: Database, kind: str) -> None:
    people = People(either)
    alice = await people.user(
        "alice" if kind == "personal" else "team+ci", kind="user" if kind == "personal" else "robot"
    )
    team, other = await people.project("team"), await people.project("other")
    await people.grant(alice, "admin", team)
    await people.grant(alice, "admin", other)
    whole = await people.token(alice, kind=kind)  # type: ignore[arg-type]  # one of the two
    narrow = await people.token(alice, kind=kind, verbs=("pull", "push"), places=((team, "web/**"),))  # type: ignore[arg-type]  # the same
    with Access(either, SETTINGS) as access:

        async def holds(token: str, name: RepositoryName) -> set[str]:
            admitted = await access.admit([(b"authorization", b"Bearer " + token.encode())], "::1", name)
            return {str(verb) for verb in admitted.verbs}

        assert await holds(whole, HERE) == await holds(whole, ELSEWHERE) == ADMIN
        assert await holds(narrow, HERE) == {"pull", "push"}
        assert await holds(narrow, RepositoryName("team/api")) == await holds(narrow, ELSEWHERE) == set()

        await people.run("UPDATE tokens SET revoked_at = 1")
        for token in (whole, narrow):
            with pytest.raises(Unauthenticated, match="revoked"):
                await holds(token, HERE)
        over = await people.token(alice, kind=kind, expires_at=int((time.time() + 0.5) * 1e6))  # type: ignore[arg-type]  # the same
        assert await holds(over, HERE) == ADMIN
        time.sleep(0.6)  # noqa: ASYNC251  nothing else runs
        with pytest.raises(Unauthenticated, match="expired"):
            await holds(over, HERE)


async def test_who_left_the_htpasswd_file_is_let_in_by_none_of_his_tokens(either: Database, tmp_path: Path) -> None:
    file = write(tmp_path / "htpasswd", fast("alice", "secret"), fast("bob", "secret"))
    basic = [(b"authorization", b"Basic " + base64.b64encode(b"alice:secret"))]
    with Access(either, SETTINGS.model_copy(update={"access": AccessSettings(htpasswd=file)})) as access:
        admitted = await access.admit(basic, "::1", HERE)
        assert admitted.principal.id is not None
        token = await People(either).token(admitted.principal.id)
        by_token = [(b"authorization", b"Bearer " + token.encode())]
        assert "pull" in (await access.admit(by_token, "::1", HERE)).verbs

        write(file, fast("bob", "secret"), age=5)
        assert access.passwords._file is not None
        access.passwords._file._look_again = 0.0
        for headers in (by_token, basic):
            with pytest.raises(Unauthenticated):
                await access.admit(headers, "::1", HERE)


async def test_what_was_read_before_a_change_is_not_remembered_after_it(
    either: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = People(either)
    alice = await people.user("alice")
    project = await people.project("team")
    await people.grant(alice, "reader", project)
    principal, app = Principal("alice", "password", alice), RepositoryName("team/app")
    with Access(either, SETTINGS) as access:
        rights = access.decisions.rights

        async def slow(asked: Principal, *, open_mode: bool = False) -> Rights:
            """Another request of this process notices meanwhile that alice was disabled."""
            found = await rights(asked, open_mode=open_mode)
            await people.run("UPDATE principals SET disabled_at = 1 WHERE id = :id", id=alice)
            await access.decisions.epoch()
            return found

        monkeypatch.setattr(access.decisions, "rights", slow)
        assert Verb.PULL in (await access.standing(principal, app)).verbs
        monkeypatch.setattr(access.decisions, "rights", rights)
        with pytest.raises(Unauthenticated, match="disabled"):
            await access.standing(principal, app)


async def test_who_signed_in_at_the_issuer_too_long_ago_has_to_do_so_again(either: Database) -> None:
    people = People(either)
    alice, bob = await people.user("alice", source="oidc:staff"), await people.user("bob", source="oidc:partners")
    for one in (alice, bob):
        await people.grant(one, "reader", await people.project(f"team{one}"))
    server, issuer = ServerSettings(public_url="https://r.example"), {"issuer": "https://i.example", "client_id": "x"}
    tables = (OidcSettings(name="staff", renew_days=30, **issuer), OidcSettings(name="partners", **issuer))  # type: ignore[arg-type]  # parsed
    with Access(either, SETTINGS.model_copy(update={"server": server, "oidc": tables})) as access:
        tokens = {one: (await people.token(one)).encode() for one in (alice, bob)}

        async def pulls(one: int) -> bool:
            name = RepositoryName(f"team{one}/app")
            return Verb.PULL in (await access.admit([(b"authorization", b"Bearer " + tokens[one])], "::1", name)).verbs

        async def seen(days: float, *, more: float = 0) -> None:
            at = int((time.time() - days * 86400 + more) * 1e6)
            await people.run("UPDATE principals SET seen_at = :at", at=at)

        await seen(30, more=1)
        assert [await pulls(one) for one in (alice, alice, bob)] == [True] * 3  # the second time it could be remembered
        time.sleep(1.1)  # noqa: ASYNC251  nothing else runs
        with pytest.raises(Unauthenticated, match=r"too long since .* sign in at https://r\.example/sign-in"):
            await pulls(alice)
        assert await pulls(bob)
        await seen(0)
        assert await pulls(alice)


async def test_who_was_never_seen_counts_from_when_his_account_was_made(either: Database) -> None:
    people = People(either)
    alice = as_user(await people.user("alice", source="oidc:staff"), source="oidc:staff")
    decisions = Decisions(either, Given(renew_days={"oidc:staff": 1}))

    with pytest.raises(Unauthenticated, match="sign in at /sign-in"):
        await decisions.rights(alice)
    await people.run("UPDATE principals SET made_at = :at", at=int(time.time() * 1e6))
    await decisions.rights(alice)


async def test_a_team_that_a_setting_names_for_a_group_counts_for_its_members(either: Database) -> None:
    people = People(either)
    alice = await people.user("alice", source="ldap:corp", groups=("cn=dev", "cn=audit"))
    await people.grant(await people.user("@dev", kind="team"), "writer", await people.project("team"))
    given = Given(
        users_create_projects=False,
        group_teams={"ldap:corp": {"cn=dev": "dev"}},
        group_roles={"ldap:corp": {"cn=audit": "auditor"}},
    )

    assert await held(Decisions(either, given), as_user(alice, source="ldap:corp"), HERE) == WRITER | ROLES["auditor"]


async def test_a_token_that_is_not_whole_or_another_kind_signs_nobody_in(either: Database) -> None:
    people = People(either)
    alice = await people.user("alice")
    good, refresh = await people.token(alice), await people.token(alice, kind="refresh")
    swapped = good.replace("phd_pat", "phd_robot")
    with Access(either, SETTINGS) as access:
        for bad in (good[:-1], good + "0", good.swapcase(), swapped, refresh, "phd_pat_1_", "phd_" + "9" * 5000):
            with pytest.raises(Unauthenticated):
                await access.admit([(b"authorization", b"Bearer " + bad.encode())], "::1", HERE)
        assert (await access.admit([(b"authorization", b"Bearer " + good.encode())], "::1", HERE)).principal.id == alice


async def test_every_verb_is_in_a_role_and_says_what_it_is() -> None:
    assert {str(verb) for verb in Verb} == ADMIN | SYSTEM
    assert all(verb.about.endswith(".") for verb in Verb)
