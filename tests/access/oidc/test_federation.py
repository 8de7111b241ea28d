"""Rules by which machines come in, and which of them a token fulfils."""

from typing import Any

import pytest

from pierhead.access.oidc.federation import Rule, match, mistakes
from pierhead.issuer_settings import KeylessSettings

GITHUB = "https://token.actions.githubusercontent.com"
HERE = "https://registry.example.org"
# As their services write them.
GITHUB_CLAIMS = {
    "iss": GITHUB,
    "aud": HERE,
    "sub": "repo:acme/app:ref:refs/heads/main",
    "repository": "acme/app",
    "repository_id": "74",
    "repository_owner": "acme",
    "ref": "refs/heads/main",
    "ref_protected": "true",
    "event_name": "push",
    "run_attempt": 1,
}
GITLAB_CLAIMS = {
    "iss": "https://gitlab.example.org",
    "aud": HERE,
    "sub": "project_path:acme/app:ref_type:branch:ref:main",
    "project_path": "acme/app",
    "namespace_path": "acme",
    "ref_protected": "true",
}
KUBERNETES_CLAIMS = {
    "iss": "https://kubernetes.default.svc.cluster.local",
    "aud": [HERE, "vault"],
    "sub": "system:serviceaccount:ci:builder",
    "kubernetes.io": {"namespace": "ci", "serviceaccount": {"name": "builder", "uid": "5f"}},
}


def rule(claims: dict[str, str] | None = None, **changed: Any) -> Rule:
    table = {"name": "r", "issuer": GITHUB, "audience": HERE, "role": "writer", "scope": "acme"} | changed
    return Rule(claims=tuple(({"repository": "acme/app"} if claims is None else claims).items()), **table)


def test_a_workflow_of_the_right_repository_fulfils_a_rule() -> None:
    assert match([rule()], GITHUB_CLAIMS) == [rule()]


@pytest.mark.parametrize(
    ("claims", "holds"),
    [
        ({"repository": "acme/app", "ref": "refs/heads/*"}, True),
        ({"repository": "acme/*", "event_name": "push"}, True),
        ({"repository": "acme/ap"}, False),
        ({"repository": "acme/app", "ref": "refs/tags/*"}, False),
        ({"repository": "acme/app", "environment": "production"}, False),
        ({"repository": "acme/app", "environment": "**"}, False),  # not even anything, where there is nothing
        ({"sub": "repo:acme/app:ref:refs/heads/*"}, True),
        ({"sub": "repo:acme/app:pull_request"}, False),
        ({"run_attempt": "1"}, True),
        ({}, False),
    ],
)
def test_every_claim_of_a_rule_must_hold(claims: dict[str, str], *, holds: bool) -> None:
    assert bool(match([rule(claims)], GITHUB_CLAIMS)) is holds


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://evil.example"},
        {"iss": None},
        {"iss": [GITHUB]},
        {"aud": "https://other.example"},
        {"aud": None},
        {"aud": []},
        {"aud": {HERE: True}},
        {"repository": ["evil/app", ["acme/app"]]},
        {"repository": {"acme/app": True}},
        {"repository": None},
    ],
)
def test_claims_of_another_shape_fulfil_nothing(changed: dict[str, Any]) -> None:
    assert match([rule()], GITHUB_CLAIMS | changed) == []


def test_a_workflow_of_gitlab_and_a_pod_of_kubernetes_fulfil_theirs() -> None:
    gitlab = rule({"project_path": "acme/*", "ref_protected": "true"}, issuer=GITLAB_CLAIMS["iss"])
    pod = rule({"kubernetes.io.namespace": "ci"}, issuer=KUBERNETES_CLAIMS["iss"])
    account = rule({"sub": "system:serviceaccount:ci:*"}, issuer=KUBERNETES_CLAIMS["iss"])

    assert match([gitlab, pod, account], GITLAB_CLAIMS) == [gitlab]
    assert match([gitlab, pod, account], KUBERNETES_CLAIMS) == [pod, account]


def test_a_token_may_fulfil_several_rules_in_their_order() -> None:
    reads, writes = rule({"repository_owner": "acme"}, name="reads"), rule(name="writes")

    assert [one.name for one in match([reads, writes], GITHUB_CLAIMS)] == ["reads", "writes"]


def test_truth_is_written_as_in_json() -> None:
    assert match([rule({"protected": "true"})], GITHUB_CLAIMS | {"protected": True})
    assert not match([rule({"protected": "1"})], GITHUB_CLAIMS | {"protected": True})


def test_a_rule_of_the_settings_is_the_same_rule() -> None:
    table = KeylessSettings(
        name="r", issuer=GITHUB, audience=HERE, claims={"repository": "acme/app"}, role="writer", scope="acme"
    )

    assert Rule.of(table) == rule()


@pytest.mark.parametrize("scope", ["*", "acme", "acme/web/**", "acme/*"])
def test_a_scope_is_everywhere_or_in_a_project(scope: str) -> None:
    assert mistakes(rule(scope=scope)) == []


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"scope": "**"}, "scope"),
        ({"scope": ""}, "scope"),
        ({"scope": "*/app"}, "scope"),
        ({"scope": "acme/"}, "scope"),
        ({"scope": "acme/x**"}, "scope"),
        ({"scope": "Acme"}, "scope"),
        ({"issuer": "http://issuer.example.org"}, "issuer"),
        ({"issuer": "https://issuer.example.org?x"}, "issuer"),
        ({"audience": ""}, "audience"),
        ({"claims": {}}, "claims"),
        ({"claims": {"sub": "**", "ref": "*"}}, "claims"),
        ({"claims": {str(number): "x" for number in range(33)}}, "claims"),
    ],
)
def test_what_would_let_in_everybody_or_nobody_is_a_mistake(changed: dict[str, Any], part: str) -> None:
    assert [name for name, _ in mistakes(rule(**changed))] == [part]
