"""What is Azure's own: accounts, checksums by MD5, tiers, signatures."""

import asyncio
import base64
import logging
import traceback
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from azure.storage.blob import UserDelegationKey

from pierhead.blobs.objects import azure
from pierhead.blobs.objects.azure import AzureBucket
from pierhead.errors import ConfigurationError, StorageFailed
from tests.blobs.objects.buckets import SERVICES, Opener
from tests.blobs.objects.usage import KEY, keys, pieces, put_parts
from tests.servers.azurite import Container, Server

pytestmark = pytest.mark.anyio

SECRET = base64.b64encode(b"a key that nobody must read anywhere" * 2).decode()


@pytest.fixture
def opener(request: pytest.FixtureRequest) -> Opener:
    return SERVICES["azure"](request)


@pytest.fixture
def container(azurite: Server) -> Container:
    return azurite.container()


def connection_string(container: Container, secret: str = "") -> str:
    proof = secret or f"AccountKey={container.key}"
    return f"AccountName={container.account};BlobEndpoint={container.endpoint};{proof}"


async def test_bytes_that_did_not_arrive_as_they_were_sent_are_not_stored(
    opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(azure, "_md5", lambda _: bytes(16))
    async with replace(opener, budget_seconds=0.2).open() as bucket:
        for content in (b"small", bytes(1024 * 1024)):
            with pytest.raises(StorageFailed, match="Md5Mismatch"):
                await bucket.put(KEY, content)
        with pytest.raises(StorageFailed, match="Md5Mismatch"):
            await bucket.put_part(KEY, await bucket.begin(KEY), 1, pieces(bucket, 1))

        assert await keys(bucket) == []


@pytest.mark.parametrize("large", [False, True])
async def test_objects_lie_in_the_tier_that_was_asked_for(container: Container, large: bool) -> None:
    url = f"az://{container.name}?tier=Cool"
    async with AzureBucket(
        url, environment={"AZURE_STORAGE_CONNECTION_STRING": connection_string(container)}
    ) as bucket:
        if large:
            session = await bucket.begin(KEY)
            await bucket.complete(KEY, session, await put_parts(bucket, session, [1, 2]))
        else:
            await bucket.put(KEY, b"x")
    with container.client() as client:
        stored = client.head(KEY)

    assert stored.headers["x-ms-access-tier"] == "Cool"


async def test_a_signed_address_ends_and_only_reads(opener: Opener) -> None:
    async with opener.open() as bucket, httpx.AsyncClient() as client:
        await bucket.put(KEY, b"content")
        url = await bucket.sign(KEY, seconds=2, headers={})

        removed = await client.delete(url)
        early = await client.get(url)
        await asyncio.sleep(2.5)
        late = await client.get(url)

    assert (removed.status_code, early.status_code, late.status_code) == (403, 200, 403)


async def test_an_identity_signs_with_a_key_that_serves_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the service would make of it, only the service can show."""
    asked: list[datetime] = []

    async def delegation(start: datetime, until: datetime) -> UserDelegationKey:
        asked.append(until)
        key = UserDelegationKey()  # type: ignore[no-untyped-call]  # theirs
        key.signed_oid = key.signed_tid = "00000000-0000-0000-0000-000000000000"
        key.signed_start, key.signed_expiry = start.isoformat(), until.isoformat()
        key.signed_service, key.signed_version, key.value = "b", "2025-01-05", SECRET
        return key

    async with AzureBucket("az://layers/team?account=harbour", environment={}) as bucket:
        monkeypatch.setattr(bucket._account.service, "get_user_delegation_key", delegation)
        urls = [await bucket.sign(KEY, seconds=600, headers={"content-type": "text/plain"}) for _ in range(2)]

    query = parse_qs(urlsplit(urls[0]).query)
    assert len(asked) == 1
    assert asked[0] - datetime.now(UTC) > timedelta(hours=23)
    assert urls[0].startswith(f"https://harbour.blob.core.windows.net/layers/team/{KEY}?")
    assert (query["sp"], query["spr"], query["rsct"], query["sks"]) == (["r"], ["https"], ["text/plain"], ["b"])
    assert SECRET not in "".join(urls)


async def test_a_connection_string_without_a_key_cannot_sign(container: Container) -> None:
    connection = connection_string(container, "SharedAccessSignature=sv=2025-01-05&sig=none")
    async with AzureBucket(
        f"az://{container.name}", environment={"AZURE_STORAGE_CONNECTION_STRING": connection}
    ) as bucket:
        with pytest.raises(StorageFailed, match="AccountKey"):
            await bucket.sign(KEY, seconds=1, headers={})


@pytest.mark.parametrize(
    ("url", "environment", "says"),
    [
        ("az://layers", {}, "no account"),
        ("az://layers?account=", {}, "option account is empty"),
        ("az://layers?account=a&key=b", {}, "unknown option key"),
        ("az://layers?account=a&tier=archive", {}, "tier is hot, cool or cold"),
        ("az://layers", {"AZURE_STORAGE_CONNECTION_STRING": SECRET}, "AZURE_STORAGE_CONNECTION_STRING: malformed"),
        ("az://layers?account=a", {"AZURE_STORAGE_KEY": f"no base64 {SECRET}"}, "AZURE_STORAGE_KEY: malformed"),
    ],
)
def test_a_mistake_is_told_without_the_secret(url: str, environment: Mapping[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as refusal:
        AzureBucket(url, environment=environment)

    assert SECRET not in "".join(traceback.format_exception(refusal.value))


async def test_a_refused_key_is_in_no_line_and_no_traceback(
    container: Container, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    environment = {"AZURE_STORAGE_ACCOUNT": container.account, "AZURE_STORAGE_KEY": SECRET}
    url = f"az://{container.name}?endpoint={container.endpoint}"

    async with AzureBucket(url, environment=environment) as bucket:
        with pytest.raises(StorageFailed) as refusal:
            await bucket.put(KEY, b"x")

    said = "".join(traceback.format_exception(refusal.value)) + caplog.text
    assert SECRET not in said
    assert _signature(refusal.value) not in said


def _signature(error: Any) -> str:
    """That of the request that was refused."""
    header = error.__cause__.response.request.headers["Authorization"]
    return str(header.rpartition(":")[2])
