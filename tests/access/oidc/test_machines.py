"""Machines that come with a token of their own issuer."""

from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from pierhead.access.oidc.federation import Rule, match
from pierhead.access.oidc.issuers import Issuers
from pierhead.access.oidc.machines import verify_machine
from pierhead.access.oidc.tokens import Refused
from pierhead.access.oidc.trusts import Trust, trusts
from pierhead.access.sources import SourceUnavailable
from pierhead.configuration import load
from pierhead.issuer_settings import IssuerSettings, OutboundSettings
from tests.clients.certificates import certificate
from tests.servers.oidc import AUDIENCE, WORKFLOW, Server
from tests.servers.rogue_issuer import Rogue, rogue_issuer

pytestmark = pytest.mark.anyio

MAX = 16 * 1024


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def rogue() -> Iterator[Rogue]:
    with rogue_issuer() as server:
        yield server


@pytest.fixture
async def issuers(oidc: Server) -> AsyncIterator[Issuers]:
    """The first real issuer is named by the configuration, all others by rules only."""
    async with Issuers(IssuerSettings(others_max=2), OutboundSettings(), {oidc.first.url: Trust()}) as opened:
        yield opened


def rule(issuer: str, **claims: str) -> Rule:
    return Rule("r", issuer, AUDIENCE, tuple((claims or {"repository": "acme/app"}).items()), "writer", "acme")


async def test_a_workflow_of_a_real_issuer_comes_in_by_a_rule(oidc: Server, issuers: Issuers) -> None:
    right, wrong = rule(oidc.first.url, sub="repo:acme/app:ref:refs/heads/*"), rule(oidc.first.url, sub="repo:x/**")

    claims = await verify_machine(oidc.first.workflow_token(), [wrong, right], issuers, max_bytes=MAX)

    assert claims["sub"] == WORKFLOW
    assert match([wrong, right], claims) == [right]


async def test_a_token_for_another_audience_is_refused(oidc: Server, issuers: Issuers) -> None:
    token = oidc.first.workflow_token("https://other.example")

    with pytest.raises(Refused, match="aud"):
        await verify_machine(token, [rule(oidc.first.url)], issuers, max_bytes=MAX)


async def test_nobody_is_asked_about_a_token_whose_issuer_no_rule_names(rogue: Rogue, issuers: Issuers) -> None:
    with pytest.raises(Refused, match="no rule"):
        await verify_machine(rogue.token(aud=AUDIENCE), [rule("https://issuer.example.org")], issuers, max_bytes=MAX)

    assert rogue.asked == []


async def test_the_issuer_of_a_rule_that_is_no_setting_is_not_asked_in_the_own_network(
    rogue: Rogue, issuers: Issuers
) -> None:
    with pytest.raises(SourceUnavailable, match=r"outbound\.private_networks"):
        await verify_machine(rogue.token(aud=AUDIENCE), [rule(rogue.url)], issuers, max_bytes=MAX)

    assert rogue.asked == []


async def test_nor_are_keys_that_its_discovery_document_puts_there(rogue: Rogue) -> None:
    """The issuer itself may be asked; what it names is looked at again."""
    rogue.discovery = {"jwks_uri": "https://127.0.0.2:1/jwks"}
    allowed = OutboundSettings(private_networks=(ip_network("127.0.0.1/32"),))
    async with Issuers(IssuerSettings(), allowed, {}) as issuers:
        with pytest.raises(SourceUnavailable, match=r"127\.0\.0\.2, which is not public"):
            await verify_machine(rogue.token(aud=AUDIENCE), [rule(rogue.url)], issuers, max_bytes=MAX)


async def test_a_setting_may_let_it_be_asked_there(rogue: Rogue) -> None:
    allowed = OutboundSettings(private_networks=(ip_network("127.0.0.0/8"),))
    async with Issuers(IssuerSettings(), allowed, {}) as issuers:
        claims = await verify_machine(
            rogue.token(aud=AUDIENCE, repository="acme/app"), [rule(rogue.url)], issuers, max_bytes=MAX
        )

    assert match([rule(rogue.url)], claims)


async def test_a_pod_of_kubernetes_comes_in_by_what_its_cluster_says(tmp_path: Path) -> None:
    """As an API server is asked: behind the cluster's own authority, and with a service account's token."""
    authority, proof, file = certificate(tmp_path), tmp_path / "token", tmp_path / "pierhead.toml"
    proof.write_text("of the registry's own pod")
    with rogue_issuer(authority) as cluster:
        cluster.wants = "Bearer of the registry's own pod"
        file.write_text(
            f"""[[keyless]]
name = "builders"
issuer = "{cluster.url}"
ca_certificate = "{authority.path}"
token_file = "{proof}"
audience = "{AUDIENCE}"
claims = {{ sub = "system:serviceaccount:ci:builder", "kubernetes.io.namespace" = "ci" }}
role = "writer"
scope = "acme"
"""
        )
        settings = load(file, environment={}).settings
        rules = [Rule.of(table) for table in settings.keyless]
        account: dict[str, Any] = {"sub": "system:serviceaccount:ci:builder", "kubernetes.io": {"namespace": "ci"}}
        token = cluster.token(aud=[AUDIENCE], **account)
        other = cluster.token(aud=[AUDIENCE], **account | {"sub": "system:serviceaccount:ci:default"})
        async with Issuers(settings.issuers, settings.outbound, trusts(settings)) as issuers:
            assert match(rules, await verify_machine(token, rules, issuers, max_bytes=MAX)) == rules
            assert match(rules, await verify_machine(other, rules, issuers, max_bytes=MAX)) == []
        proof.write_text("of another cluster")
        async with Issuers(settings.issuers, settings.outbound, trusts(settings)) as issuers:
            with pytest.raises(SourceUnavailable, match="answers 401"):
                await verify_machine(token, rules, issuers, max_bytes=MAX)


async def test_of_issuers_that_rules_name_a_bounded_number_is_remembered(oidc: Server, issuers: Issuers) -> None:
    first = issuers.get("https://one.example")
    assert issuers.get("https://one.example") is first
    issuers.get("https://two.example")
    issuers.get("https://one.example")
    issuers.get("https://three.example")

    assert issuers.get("https://one.example") is first
    assert issuers.get(oidc.first.url) is issuers.get(oidc.first.url)
    issuers.get("https://four.example")
    issuers.get("https://five.example")
    assert issuers.get("https://one.example") is not first
