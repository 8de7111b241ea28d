"""Buckets of real servers, each new and empty, through the adapter of its service.

A service of another kind becomes one more entry of SERVICES.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.oauth2 import service_account

from pierhead.blobs.objects.azure import AzureBucket
from pierhead.blobs.objects.bucket import Service
from pierhead.blobs.objects.gcs import GoogleBucket
from pierhead.blobs.objects.gcs.account import Account
from pierhead.blobs.objects.s3 import S3Bucket
from pierhead.blobs.work import Observe, unobserved
from tests.servers import azurite as azurite_server
from tests.servers import gcs as gcs_server
from tests.servers import s3 as s3_server


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens a bucket of one service; with `host`, through what listens there."""

    make: Callable[..., AbstractAsyncContextManager[Service]]
    endpoint: str  # http://HOST:PORT, and more where the service has it so
    name: str
    budget_seconds: float = 2
    prefix: str = "team"
    observe: Observe = unobserved

    @property
    def host(self) -> str:
        return self.endpoint.split("/")[2]

    def through(self, host: str) -> "Opener":
        return replace(self, endpoint=self.endpoint.replace(self.host, host))

    def open(self) -> AbstractAsyncContextManager[Service]:
        return self.make(self)


def azure(request: pytest.FixtureRequest) -> Opener:
    server: azurite_server.Server = request.getfixturevalue("azurite")
    container = server.container()
    environment = {"AZURE_STORAGE_ACCOUNT": container.account, "AZURE_STORAGE_KEY": container.key}

    def make(opener: Opener) -> AzureBucket:
        url = f"az://{opener.name}/{opener.prefix}?endpoint={opener.endpoint}"
        return AzureBucket(url, budget_seconds=opener.budget_seconds, observe=opener.observe, environment=environment)

    return Opener(make, container.endpoint, container.name)


def google(request: pytest.FixtureRequest) -> Opener:
    """The server asks nobody who they are; what signs is an account of our own making."""
    server: gcs_server.Server = request.getfixturevalue("gcs")
    bucket = server.bucket()

    def make(opener: Opener) -> GoogleBucket:
        return GoogleBucket(
            f"gs://{opener.name}/{opener.prefix}",
            budget_seconds=opener.budget_seconds,
            observe=opener.observe,
            environment={"STORAGE_EMULATOR_HOST": opener.endpoint},
            account=Account(service_credentials()),
        )

    return Opener(make, bucket.endpoint, bucket.name)


def s3(request: pytest.FixtureRequest) -> Opener:
    server: s3_server.Server = request.getfixturevalue("s3")
    bucket = server.bucket()

    def make(opener: Opener) -> S3Bucket:
        # Where production has them too.
        os.environ |= bucket.environment
        url = f"s3://{opener.name}/{opener.prefix}?endpoint={opener.endpoint}"
        return S3Bucket(url, budget_seconds=opener.budget_seconds, observe=opener.observe)

    return Opener(make, bucket.endpoint, bucket.name)


SERVICES: Mapping[str, Callable[[pytest.FixtureRequest], Opener]] = {"azure": azure, "gcs": google, "s3": s3}


def service_credentials() -> Any:
    """Those of a service account, with a token that nobody issued."""
    kind: Any = service_account.Credentials
    credentials = kind.from_service_account_info(
        {
            "client_email": "tests@example.iam.gserviceaccount.com",
            "private_key": _private_key(),
            "token_uri": "http://127.0.0.1:1/never-asked",
        }
    )
    credentials.token = "never-issued"
    credentials.expiry = (datetime.now(UTC) + timedelta(hours=1)).replace(tzinfo=None)
    return credentials


@cache
def _private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
