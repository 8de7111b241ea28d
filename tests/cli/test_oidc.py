"""Trying out issuers and rules from the command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.oidc import AUDIENCE, WORKFLOW, Server


@pytest.fixture
def file(oidc: Server, tmp_path: Path) -> Path:
    assert oidc.second.certificate
    path = tmp_path / "pierhead.toml"
    path.write_text(
        f"""[server]
public_url = "https://registry.example.org"

[[oidc]]
name = "second"
issuer = "{oidc.second.url}"
client_id = "pierhead"
ca_certificate = "{oidc.second.certificate.path}"

[[keyless]]
name = "main-branch"
issuer = "{oidc.first.url}"
audience = "{AUDIENCE}"
claims = {{ repository = "acme/app", ref = "refs/heads/main" }}
role = "writer"
scope = "acme"

[[keyless]]
name = "releases"
issuer = "{oidc.first.url}"
audience = "{AUDIENCE}"
claims = {{ repository = "acme/app", ref = "refs/tags/*", actor = "release-bot" }}
role = "maintainer"
scope = "acme"
"""
    )
    return path


def run(file: Path, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pierhead.cli.main", "oidc", *arguments, "--config", str(file)]
    return subprocess.run(command, input=typed, capture_output=True, text=True, check=False)


def test_issuers_that_answer_are_told_with_what_to_register_there(file: Path, oidc: Server) -> None:
    ran = run(file, "check")

    assert ran.stdout.splitlines() == [
        f"second: ok: {oidc.second.url} has 2 keys",
        "  register there: https://registry.example.org/sign-in/oidc/second/callback",
        "  and for signing out: https://registry.example.org/sign-in",
        f"main-branch: ok: {oidc.first.url} has 2 keys",
        f"releases: ok: {oidc.first.url} has 2 keys",
    ]
    assert (ran.returncode, ran.stderr) == (0, "")


def test_an_issuer_whose_certificate_nobody_vouches_for_is_told(file: Path, oidc: Server) -> None:
    lines = file.read_text().splitlines()
    file.write_text("\n".join(line for line in lines if not line.startswith("ca_certificate")))

    ran = run(file, "check", "second")

    assert ran.stdout.startswith(f"second: FAILED: {oidc.second.url}: ")
    assert "CERTIFICATE_VERIFY_FAILED" in ran.stdout
    assert ran.returncode == 1


def test_a_name_that_is_not_there_is_told(file: Path) -> None:
    ran = run(file, "check", "third")

    assert "there are: second, main-branch, releases" in ran.stderr
    assert ran.returncode == 2


def test_a_token_is_told_with_the_rules_that_it_fulfils(file: Path, oidc: Server) -> None:
    ran = run(file, "token", typed=oidc.first.workflow_token() + "\n")

    first, *claims, fulfilled, lacks, ref, actor = ran.stdout.splitlines()
    assert first.startswith(f"token: ok: of {oidc.first.url}, good for 2")
    assert {f"  sub: {WORKFLOW}", "  repository: acme/app"} <= set(claims)
    assert fulfilled == "main-branch: ok: is fulfilled: writer of acme"
    assert lacks == "releases: FAILED: is not fulfilled"
    assert ref == "  ref must be refs/tags/*, and is refs/heads/main"
    assert actor == "  actor must be release-bot, and is missing"
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("json_too", [False, True])
def test_a_token_that_is_none_is_told_and_not_repeated(file: Path, *, json_too: bool) -> None:
    ran = run(file, "token", *(["--json"] if json_too else []), typed="hunter2")

    assert "this is no JSON Web Token" in ran.stdout
    assert "hunter2" not in ran.stdout + ran.stderr
    assert ran.returncode == 1


def test_a_token_of_another_issuer_is_told(file: Path, oidc: Server) -> None:
    ran = run(file, "token", typed=oidc.second.workflow_token())

    assert ran.stdout == "token: FAILED: the token is of an issuer that no rule of this registry names\n"
    assert ran.returncode == 1


def test_a_program_reads_the_same(file: Path, oidc: Server) -> None:
    checked = json.loads(run(file, "check", "second", "--json").stdout)
    tried = json.loads(run(file, "token", "--json", typed=oidc.first.workflow_token()).stdout)

    assert checked[0]["facts"]["redirect_uri"].endswith("/sign-in/oidc/second/callback")
    assert [step["passed"] for step in tried] == [True, True, False]
    assert tried[0]["facts"]["sub"] == WORKFLOW


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('client_secret_file = "none"', "cannot be read: No such file or directory"),
        ('client_secret_file = "/dev/null"', "is empty"),
        ('ca_certificate = "/dev/null"', "is no PEM file of certificates"),
        ('jwks_file = "/dev/null"', "is no JSON Web Key Set"),
        ('token_file = "/bin/true"', "is no text"),
    ],
)
def test_files_that_cannot_be_used_are_told_before_anything_is_asked(tmp_path: Path, line: str, told: str) -> None:
    kind, name = ("oidc", "client_id") if line.startswith("client") else ("keyless", "audience")
    rest = "" if kind == "oidc" else 'claims = { sub = "x" }\nrole = "writer"\nscope = "acme"\n'
    file = tmp_path / "pierhead.toml"
    file.write_text(f'[[{kind}]]\nname = "x"\nissuer = "https://a.example"\n{name} = "x"\n{rest}{line}\n')

    command = [sys.executable, "-m", "pierhead.cli.main", "config", "check", "--config", str(file)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)

    for ran in (checked, run(file, "check")):
        assert f"{kind}.x.{line.partition(' ')[0]} = " in ran.stderr
        assert told in ran.stderr
        assert ran.returncode != 0
