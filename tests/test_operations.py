import asyncio
import json
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

import pytest

from pierhead import operations
from pierhead.observability.observability import Observability
from pierhead.operations import Operations, Ping
from tests.observability.scopes import Answer, ask, http_scope

STRANGER: dict[str, Any] = {"client": ("203.0.113.9", "40000")}
NETWORKS = [ip_network("10.1.0.0/16"), ip_network("2001:db8::/32")]


async def working() -> Mapping[str, str]:
    return {"sqlite": "3.54.1"}


async def broken() -> Mapping[str, str]:
    raise OSError("the disk is gone")


async def stuck() -> Mapping[str, str]:
    await asyncio.sleep(60)
    return {}


def answer(path: str, method: str = "GET", pings: Mapping[str, Ping] | None = None, **changes: Any) -> Answer:
    async def asked() -> Answer:
        async with Observability(access="none", format="json", shared=None) as observability:
            app = Operations(observability, pings or {"database": working}, NETWORKS)
            return await ask(app, http_scope(method, path, **changes))

    return asyncio.run(asked())


def test_a_process_that_answers_is_healthy_whatever_its_parts() -> None:
    answered = answer("/healthz", pings={"storage": broken}, **STRANGER)

    assert (answered.status, json.loads(answered.body)) == (200, {"status": "ok"})


def test_readiness_shows_each_part_to_who_is_near() -> None:
    answered = answer("/readyz", pings={"database": working})

    assert answered.status == 200
    assert json.loads(answered.body) == {"status": "ok", "parts": {"database": {"status": "ok", "sqlite": "3.54.1"}}}


def test_one_failing_part_is_enough_not_to_be_ready() -> None:
    answered = answer("/readyz", pings={"database": working, "storage": broken})

    assert answered.status == 503
    failed = json.loads(answered.body)["parts"]["storage"]
    assert failed == {"status": "failed", "reason": "OSError: the disk is gone"}


def test_a_part_that_does_not_answer_in_time_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "PING_TIMEOUT", 0.05)
    answered = answer("/readyz", pings={"storage": stuck})

    assert answered.status == 503
    assert json.loads(answered.body)["parts"]["storage"]["reason"] == "no answer within 0.05 s"


def test_strangers_learn_only_whether_it_is_ready() -> None:
    assert json.loads(answer("/readyz", **STRANGER).body) == {"status": "ok"}
    assert json.loads(answer("/readyz", pings={"a": broken}, **STRANGER).body) == {"status": "failed"}


def test_many_who_ask_at_once_cause_one_ping() -> None:
    pinged = 0

    async def counted() -> Mapping[str, str]:
        nonlocal pinged
        pinged += 1
        await asyncio.sleep(0.01)
        return {}

    async def asked() -> None:
        async with Observability(access="none", format="json", shared=None) as observability:
            app = Operations(observability, {"database": counted})
            await asyncio.gather(*(ask(app, http_scope(path="/readyz")) for _ in range(50)))

    asyncio.run(asked())
    assert pinged == 1


def test_metrics_are_text_for_prometheus() -> None:
    answered = answer("/metrics")

    assert answered.status == 200
    assert answered.headers[b"content-type"].startswith(b"text/plain; version=0.0.4")
    assert b"# TYPE pierhead_requests_total counter" in answered.body


@pytest.mark.parametrize(
    ("client", "allowed"),
    [
        (("127.0.0.1", "1"), True),
        (("127.8.9.1", "1"), True),
        (("::1", "1"), True),
        (("::ffff:127.0.0.1", "1"), True),
        (("10.1.2.3", "1"), True),
        (("::ffff:10.1.2.3", "1"), True),
        (("2001:db8::7", "1"), True),
        (("10.2.2.3", "1"), False),
        (("203.0.113.9", "1"), False),
        (("::ffff:203.0.113.9", "1"), False),
        (("", "0"), False),
        (("localhost", "0"), False),
        (None, False),
    ],
)
def test_metrics_are_for_loopback_and_allowed_networks(client: tuple[str, str] | None, allowed: bool) -> None:
    assert answer("/metrics", client=client).status == (200 if allowed else 403)


@pytest.mark.parametrize("header", [b"forwarded", b"x-forwarded-for", b"via", b"x-real-ip"])
def test_a_proxy_on_this_host_does_not_let_strangers_in(header: bytes) -> None:
    headers = [(header, b"127.0.0.1")]

    assert answer("/metrics", headers=headers).status == 403
    assert "parts" not in json.loads(answer("/readyz", headers=headers).body)


@pytest.mark.parametrize("path", sorted(operations.PATHS))
def test_head_answers_like_get_without_a_body(path: str) -> None:
    head = answer(path, "HEAD")

    assert (head.status, head.body) == (200, b"")
    assert int(head.headers[b"content-length"]) > 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "EVIL"])
@pytest.mark.parametrize("path", sorted(operations.PATHS))
def test_other_methods_are_told_what_is_allowed(path: str, method: str) -> None:
    refused = answer(path, method)

    assert (refused.status, refused.headers[b"allow"]) == (405, b"GET, HEAD")


def test_a_path_of_someone_else_is_not_found() -> None:
    assert answer("/healthz/").status == 404


def test_questions_of_operators_are_counted_like_all_requests() -> None:
    async def asked() -> bytes:
        async with Observability(access="none", format="json", shared=None) as observability:
            app = Operations(observability, {})
            await ask(app, http_scope(path="/healthz"))
            return (await ask(app, http_scope(path="/metrics"))).body

    assert b'pierhead_requests_total{code="200",method="GET",operation="healthz"} 1.0' in asyncio.run(asked())
