"""Settings of issuers that are each right alone and wrong together, as an operator is told of them."""

from pathlib import Path

import pytest

from pierhead.access.oidc.trusts import Trust, trusts
from pierhead.configuration import Configuration, effective_toml, load
from pierhead.errors import ConfigurationError

PEOPLE = '[[oidc]]\nname = "corp"\nissuer = "https://sso.example.org/realms/corp"\nclient_id = "registry"\n'
MACHINES = """[[keyless]]
name = "builds"
issuer = "https://sso.example.org/realms/corp"
audience = "https://registry.example.org"
claims = { sub = "build-*" }
role = "writer"
scope = "acme"
"""


def loaded(tmp_path: Path, text: str) -> Configuration:
    file = tmp_path / "pierhead.toml"
    file.write_text(text)
    return load(file, environment={})


def told(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        loaded(tmp_path, text)
    return [mistake.replace(str(tmp_path / "pierhead.toml"), "FILE") for mistake in caught.value.mistakes]


def test_an_issuer_of_people_and_machines_is_one_and_has_what_either_says(tmp_path: Path) -> None:
    settings = loaded(tmp_path, PEOPLE + MACHINES + 'ca_certificate = "ca.pem"\ntoken_file = "token"\n').settings

    assert trusts(settings) == {
        "https://sso.example.org/realms/corp": Trust(ca_certificate=Path("ca.pem"), token_file=Path("token"))
    }


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (
            PEOPLE + 'client_secret = "x"\nclient_secret_file = "y"\n',
            "oidc.corp.client_secret_file (FILE): client_secret is given too; one of them is enough",
        ),
        (
            PEOPLE + 'admin_groups = ["admins"]\n',
            "oidc.corp.admin_groups (FILE): needs groups_claim, which holds the groups",
        ),
        (
            PEOPLE + 'ca_certificate = "a.pem"\n' + MACHINES + 'ca_certificate = "b.pem"\n',
            "oidc.corp.ca_certificate (FILE): another table says something else of the same issuer",
        ),
        (
            PEOPLE + MACHINES + 'jwks_file = "keys.json"\n',
            "keyless.builds.jwks_file (FILE): people sign in by this issuer too, so that it must be asked",
        ),
        (
            MACHINES + 'jwks_file = "keys.json"\ntoken_file = "token"\n',
            "keyless.builds.token_file (FILE): is of no use beside jwks_file: nobody is asked",
        ),
        (
            MACHINES.replace('"build-*"', '"**"'),
            "keyless.builds.claims (FILE): must name whose workflow it is: without that, everybody's would do",
        ),
        (
            MACHINES.replace('"acme"', '"acme/x**"'),
            "keyless.builds.scope (FILE): must be *, a project, or PROJECT/PATTERN",
        ),
    ],
)
def test_what_contradicts_itself_is_told(tmp_path: Path, text: str, mistake: str) -> None:
    assert told(tmp_path, text) == [mistake]


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ('issuer = "http://sso.example.org"', "issuer"),
        ('issuer = "https://sso.example.org?tenant=1"', "issuer"),
        ('scopes = ["profile"]', "scopes"),
        ('scopes = ["openid", "a b"]', "scopes"),
        ('authorize_parameters = { redirect_uri = "https://evil.example" }', "authorize_parameters"),
        ("authorize_parameters = { State = 7 }", "authorize_parameters"),
        ("client_secret = ''", "client_secret"),
        ('name = "Corp"', "name"),
    ],
)
def test_a_setting_that_is_wrong_is_told(tmp_path: Path, line: str, part: str) -> None:
    lines = [old for old in PEOPLE.splitlines() if not old.startswith(f"{part} =")]

    mistakes = told(tmp_path, "\n".join([*lines, line]))

    assert len(mistakes) == 1
    assert f".{part}" in mistakes[0]


def test_a_rule_without_claims_is_refused(tmp_path: Path) -> None:
    assert "keyless.builds.claims" in told(tmp_path, MACHINES.replace('{ sub = "build-*" }', "{}"))[0]


def test_a_secret_is_not_shown(tmp_path: Path) -> None:
    shown = effective_toml(loaded(tmp_path, PEOPLE + 'client_secret = "correct horse"\n'))

    assert "correct horse" not in shown
    assert 'issuer = "https://sso.example.org/realms/corp"' in shown


def test_a_whole_table_may_stand_in_the_environment() -> None:
    environment = {
        "PIERHEAD_KEYLESS_BUILDS_ISSUER": "https://sso.example.org",
        "PIERHEAD_KEYLESS_BUILDS_AUDIENCE": "https://registry.example.org",
        "PIERHEAD_KEYLESS_BUILDS_CLAIMS": "repository=acme/app, ref=refs/heads/*",
        "PIERHEAD_KEYLESS_BUILDS_ROLE": "writer",
        "PIERHEAD_KEYLESS_BUILDS_SCOPE": "acme",
    }

    (rule,) = load(environment=environment).settings.keyless

    assert rule.claims == {"repository": "acme/app", "ref": "refs/heads/*"}
