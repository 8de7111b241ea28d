"""Directories whose servers are dead, silent, slow or mad: what that costs, and whom."""

import asyncio
import logging
import time
from collections.abc import Callable

import pytest

from pierhead.access.ldap.connection import Connection, tls_context
from pierhead.access.ldap.directory import LdapDirectory
from pierhead.access.ldap.failures import ServerFailed
from pierhead.access.sources import Identity, SourceUnavailable, WrongPassword
from tests.access.ldap.behaving import Behaviour, Listener, drip, listening, pour, speak_http
from tests.access.ldap.company import ALICE, COMPANY, PASSWORD, asked, settings, sign_in
from tests.running import free_port
from tests.servers.slapd import Server, slapd
from tests.servers.toxiproxy import Server as Toxiproxy

QUICK = {"connect_seconds": 0.5, "operation_seconds": 0.5}


def took(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def dead() -> str:
    return f"ldap://127.0.0.1:{free_port()}"


def test_the_next_server_is_asked_where_the_first_is_dead(company: Server) -> None:
    assert sign_in(settings(company, url=[dead(), company.plain])) is not None


def test_a_silent_server_costs_its_time_once(company: Server, silent: Listener) -> None:
    with LdapDirectory(settings(company, url=[silent.url, company.plain], **QUICK)) as directory:
        first = took(lambda: asked(directory))
        second = took(lambda: asked(directory))

    assert 0.4 < first < 3
    assert second < 0.4
    assert silent.accepted == 1


def test_a_silent_tls_server_costs_no_more(company: Server, silent: Listener) -> None:
    url = silent.url.replace("ldap:", "ldaps:")

    assert took(lambda: sign_in(settings(company, url=[url, company.tls], **QUICK))) < 3


def test_who_cannot_ask_anybody_is_told_so_and_then_at_once(company: Server, silent: Listener) -> None:
    def refused() -> None:
        with pytest.raises(SourceUnavailable, match=r"no answer within 0\.5 s"):
            asked(directory)

    with LdapDirectory(settings(company, url=[silent.url, dead()], **QUICK)) as directory:
        assert took(refused) < 3
        assert took(refused) < 0.2

    assert silent.accepted == 1


def test_a_dead_server_is_tried_again_by_one_while_the_others_go_on(company: Server, silent: Listener) -> None:
    async def together(directory: LdapDirectory) -> list[Identity | None]:
        return await asyncio.gather(*(directory.check("alice", b"wonderland") for _ in range(4)))

    urls = [silent.url, company.plain]
    with LdapDirectory(settings(company, url=urls, retry_seconds=0.3, **QUICK)) as directory:
        asked(directory)
        time.sleep(0.35)
        found = asyncio.run(together(directory))

    assert len([identity for identity in found if identity]) == 4
    assert silent.accepted == 2


def test_a_server_that_is_back_is_asked_again(company: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pierhead.access")
    port = free_port()
    url = f"ldap://localhost:{port}"
    with LdapDirectory(settings(company, url=[url], retry_seconds=0.1)) as directory:
        with pytest.raises(SourceUnavailable, match="Connection refused"):
            asked(directory)
        with slapd(port=port) as server:
            server.add(COMPANY)
            time.sleep(0.1)

            assert asked(directory) is not None

    assert f"{url} failed: [Errno 111] Connection refused" in caplog.text
    assert f"{url} answers again" in caplog.text


def test_a_connection_that_the_server_closed_is_replaced(company: Server) -> None:
    port = free_port()
    with LdapDirectory(settings(company, url=[f"ldap://localhost:{port}"])) as directory:
        for _ in range(2):
            with slapd(port=port) as server:
                server.add(COMPANY)

                assert asked(directory) is not None


@pytest.mark.parametrize("behave", [drip, pour, speak_http])
def test_a_server_that_answers_madly_is_a_failed_one(behave: Behaviour, company: Server) -> None:
    def refused() -> None:
        with pytest.raises(SourceUnavailable, match=r"no answer within 0\.5 s|longer than|terminated by server"):
            sign_in(settings(company, url=[listener.url], **QUICK))

    with listening(behave) as listener:
        assert took(refused) < 2


def test_an_answer_without_end_is_not_waited_for(company: Server) -> None:
    with (
        listening(pour) as listener,
        pytest.raises(SourceUnavailable, match="the answer is longer than"),
    ):
        sign_in(settings(company, url=[listener.url], operation_seconds=15))


def test_a_closed_connection_is_not_opened_again_by_the_library(company: Server) -> None:
    """It would be without StartTLS, and the password would go out in the clear."""
    wanted = settings(company, url=[company.plain], start_tls=True)
    connection = Connection(company.plain, wanted, tls_context(wanted))
    before = len(company.lines("ACCEPT"))
    connection.close()

    with pytest.raises(ServerFailed, match="the connection was closed"):
        connection.bind(ALICE, PASSWORD.encode())

    assert len(company.lines("ACCEPT")) == before


def test_the_event_loop_goes_on_while_a_server_is_silent(company: Server, silent: Listener) -> None:
    async def count() -> int:
        turns = 0
        check = asyncio.ensure_future(directory.check("alice", b"wonderland"))
        while not check.done():
            await asyncio.sleep(0.005)
            turns += 1
        with pytest.raises(SourceUnavailable):
            await check
        return turns

    with LdapDirectory(settings(company, url=[silent.url], **QUICK)) as directory:
        assert asyncio.run(count()) > 20


def test_who_would_have_to_wait_behind_too_many_is_told_at_once(company: Server, silent: Listener) -> None:
    async def crowd() -> list[str]:
        checks = [asyncio.ensure_future(directory.check("alice", b"wonderland")) for _ in range(5)]
        results = await asyncio.gather(*checks, return_exceptions=True)
        return [str(result) for result in results]

    with LdapDirectory(settings(company, url=[silent.url], pool_size=1, queue=2, **QUICK)) as directory:
        told = asyncio.run(crowd())

    assert [text for text in told if "wait for it already" in text] == ["ldap:corp: 3 sign-ins wait for it already"] * 2
    assert silent.accepted == 1


def test_all_that_a_sign_in_takes_together_has_a_limit(company: Server, silent: Listener) -> None:
    def refused() -> None:
        with pytest.raises(SourceUnavailable, match=r"no answer within 0\.3 s"):
            asked(directory)

    with LdapDirectory(settings(company, url=[silent.url], total_seconds=0.3)) as directory:
        assert took(refused) < 2
        silent.close()


def test_connections_are_used_again(company: Server) -> None:
    before = len(company.lines("ACCEPT"))
    with LdapDirectory(settings(company)) as directory:
        for _ in range(10):
            assert asked(directory) is not None
            with pytest.raises(WrongPassword):
                asked(directory, "alice", "wrong")

    assert len(company.lines("ACCEPT")) == before + 2


def test_a_connection_that_was_not_used_for_long_is_not_used_again(company: Server) -> None:
    before = len(company.lines("ACCEPT"))
    with LdapDirectory(settings(company, idle_seconds=0.2)) as directory:
        for _ in range(2):
            assert asked(directory) is not None
            time.sleep(0.3)

    assert len(company.lines("ACCEPT")) >= before + 4


def test_a_password_that_was_right_does_not_make_the_next_one_right(company: Server) -> None:
    """Both are checked on one connection, which is signed in from the first."""
    with LdapDirectory(settings(company)) as directory:
        assert asked(directory) is not None
        with pytest.raises(WrongPassword):
            asked(directory, "bob", "wonderland")


def test_references_to_other_servers_are_left_alone(company: Server, silent: Listener) -> None:
    elsewhere = "ou=elsewhere,ou=people,dc=example,dc=org"
    company.add(
        f"dn: {elsewhere}\nobjectClass: referral\nobjectClass: extensibleObject\nou: elsewhere\n"
        f"ref: {silent.url}/dc=x\n"
    )
    try:
        identity = sign_in(settings(company))
        with pytest.raises(SourceUnavailable, match="referred to another server, which is not followed"):
            sign_in(settings(company, base_dn=elsewhere))
    finally:
        company.remove(elsewhere)

    assert identity is not None
    assert silent.accepted == 0


def test_an_unknown_name_takes_as_long_as_a_wrong_password(company: Server, toxiproxy: Toxiproxy) -> None:
    def wrong() -> None:
        with pytest.raises(WrongPassword):
            asked(directory, "alice", "wrong")

    with (
        toxiproxy.link(f"localhost:{company.port}") as link,
        LdapDirectory(settings(company, url=[f"ldap://{link.host}"])) as directory,
    ):
        assert asked(directory, "nobody", "wrong") is None  # which connects
        link.latency(150)
        known, unknown = took(wrong), took(lambda: asked(directory, "nobody", "wrong"))

    assert known > 0.29
    assert unknown > 0.29
