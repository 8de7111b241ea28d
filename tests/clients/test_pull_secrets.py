"""Image pull secrets of Kubernetes: what the kubelet makes of one, given to the containerd that it drives.

A kubelet reads `.dockerconfigjson` of the secret, looks for the registry's host in it, and hands name and password on
with each PullImage of the CRI. crictl makes the same call of the same interface.
"""

import base64
import json
from pathlib import Path

import pytest

from tests.clients.guarded import READER, ROBOT, Guarded
from tests.clients.programs import Program, program
from tests.clients.signing_in import Account


@pytest.fixture
def crictl(containerd: str, home: Path) -> Program:
    endpoint = f"unix://{containerd}"
    return program("crictl", home, "--runtime-endpoint", endpoint, "--image-endpoint", endpoint)


def pull_secret(host: str, account: Account) -> str:
    """The field `.dockerconfigjson`, as `kubectl create secret docker-registry` writes it."""
    name, password = account
    auth = base64.b64encode(f"{name}:{password}".encode()).decode()
    told = {"auths": {host: {"username": name, "password": password, "auth": auth}}}
    return base64.b64encode(json.dumps(told).encode()).decode()


def credentials(secret: str, host: str) -> tuple[str, str]:
    """The option that makes crictl send what the kubelet does."""
    found = json.loads(base64.b64decode(secret))["auths"][host]
    return "--creds", f"{found['username']}:{found['password']}"


def test_a_pod_gets_its_image_by_a_pull_secret_until_its_token_ends(crictl: Program, guarded: Guarded) -> None:
    host, private = guarded.host, f"{guarded.host}/team/app:1"
    robot = guarded.token(ROBOT, "robot")
    proved = credentials(pull_secret(host, robot.account), host)

    crictl("pull", f"{host}/open/app:1")
    stranger = crictl.refused("pull", private)
    wrong = crictl.refused("pull", *credentials(pull_secret(host, (READER[0], "wrong")), host), private)
    crictl("pull", *proved, private)
    crictl("rmi", private)
    robot.revoke()
    revoked = crictl.refused("pull", *proved, private)

    assert "pull access denied" in stranger
    assert "401 Unauthorized" in wrong
    assert "401 Unauthorized" in revoked


def test_a_person_s_password_and_token_pull_too(crictl: Program, guarded: Guarded) -> None:
    for account in (READER, guarded.token(READER[0]).account):
        crictl("pull", *credentials(pull_secret(guarded.host, account), guarded.host), f"{guarded.host}/team/app:1")
