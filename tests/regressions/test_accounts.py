"""Accounts whose passwords are hashed at a cost."""

import time
from pathlib import Path

import bcrypt
import httpx

from tests.distribution.wire import push_image
from tests.running import serving

ROUNDS = 11
REQUESTS = 60


def test_a_password_is_hashed_once_and_not_at_every_request(tmp_path: Path) -> None:
    """distribution#3017: bcrypt at each request made a push of nothing take six seconds."""
    accounts = tmp_path / "accounts"
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(ROUNDS)).decode()
    accounts.write_text(f"ann:{hashed}\n")
    begun = time.perf_counter()
    bcrypt.checkpw(b"secret", hashed.encode())
    once = time.perf_counter() - begun

    with (
        serving(tmp_path / "data", "--workers", "1", "--htpasswd", str(accounts)) as running,
        httpx.Client(base_url=running.url, auth=("ann", "secret"), timeout=30) as client,
    ):
        push_image(client, "app", "1")
        begun = time.perf_counter()
        for _ in range(REQUESTS):
            assert client.head("/v2/app/manifests/1").status_code == 200
        took = time.perf_counter() - begun

    assert took < REQUESTS * once / 4
