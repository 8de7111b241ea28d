"""What is Google's own: composing, checksums by CRC32C, tokens, signatures of version 4."""

import asyncio
import base64
import json
import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from google.auth import iam
from google.auth.exceptions import RefreshError, TransportError

from pierhead.blobs.objects import gcs, names
from pierhead.blobs.objects.gcs import GoogleBucket
from pierhead.blobs.objects.gcs import objects as gcs_objects
from pierhead.blobs.objects.gcs.account import Account, default_account
from pierhead.blobs.objects.gcs.service import Refused, gcs_errors
from pierhead.blobs.objects.gcs.signing import signed_url
from pierhead.blobs.objects.patience import Fault
from pierhead.blobs.objects.store import ObjectStore
from pierhead.errors import BlobMissing, ConfigurationError, StorageFailed
from pierhead.models import RepositoryName, Upload
from pierhead.settings import StorageSettings
from tests.blobs.objects.buckets import SERVICES, Opener
from tests.blobs.objects.troubled import Answers, way_to
from tests.blobs.objects.usage import KEY, keys, pending, pieces, put_parts, read
from tests.servers.gcs import Server

pytestmark = pytest.mark.anyio


@pytest.fixture
def opener(request: pytest.FixtureRequest) -> Opener:
    return SERVICES["gcs"](request)


class Credentials:
    """As google-auth has them, without a key: what signs is IAM."""

    service_account_email = "machine@example.iam.gserviceaccount.com"

    def __init__(self, failure: Exception | None = None) -> None:
        self.token: str | None = None
        self.refreshed = 0
        self._failure = failure

    @property
    def valid(self) -> bool:
        return bool(self.token)

    def refresh(self, request: object) -> None:
        self.refreshed += 1
        if self._failure:
            raise self._failure
        self.token = f"token-{self.refreshed}"


def account(credentials: Any) -> Account:
    return Account(credentials)


@pytest.mark.parametrize(("at_once", "count"), [(32, 40), (3, 20)])
async def test_many_parts_are_composed_in_rounds(
    opener: Opener, monkeypatch: pytest.MonkeyPatch, at_once: int, count: int
) -> None:
    monkeypatch.setattr(gcs, "COMPOSED_AT_ONCE", at_once)
    numbers = range(1, count + 1)
    async with opener.open() as bucket:
        session = await bucket.begin(KEY)
        await bucket.complete(KEY, session, await put_parts(bucket, session, numbers))

        assert await read(bucket, KEY) == b"".join(
            bytes(piece) for number in numbers for piece in pieces(bucket, number)
        )
        assert await keys(bucket) == [KEY]
        assert await pending(bucket) == []


async def test_parts_that_could_not_be_cleared_up_stay_pending(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(key: str, session: str) -> None:
        raise StorageFailed(key)

    async with opener.open() as bucket:
        session = await bucket.begin(KEY)
        parts = await put_parts(bucket, session, [1])
        with monkeypatch.context() as patched:
            patched.setattr(bucket, "abort", fails)
            await bucket.complete(KEY, session, parts)

        assert [(upload.key, upload.session) for upload in await pending(bucket)] == [(KEY, session)]
        assert await keys(bucket) == [KEY]
        await bucket.abort(KEY, session)
        assert await pending(bucket) == []
        assert await keys(bucket) == [KEY]


async def test_a_late_part_of_a_finished_upload_is_swept_and_its_blob_stays(opener: Opener) -> None:
    """The service has no session that would refuse it."""
    upload = Upload(id=str(uuid.uuid4()), repository=RepositoryName(), algorithm="", offset=0, epoch=0)
    key = names.new_key(upload.id)
    async with opener.open() as bucket, ObjectStore(bucket, StorageSettings()) as store:
        session = await bucket.begin(key)
        await bucket.complete(key, session, [await bucket.put_part(key, session, 1, [b"content"])])
        await bucket.put_part(key, session, 2, [b"late"])

        assert await store.abandoned(2**62) == [upload.id]
        await store.discard(upload)
        assert await store.abandoned(2**62) == []
        assert await read(bucket, key) == b"content"


async def test_bytes_that_did_not_arrive_as_they_were_sent_are_not_stored(
    opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcs_objects, "checksum", lambda _: base64.b64encode(bytes(4)).decode())
    async with replace(opener, budget_seconds=0.2).open() as bucket:
        with pytest.raises(StorageFailed):
            await bucket.put(KEY, b"content")
        with pytest.raises(StorageFailed):
            await bucket.put_part(KEY, await bucket.begin(KEY), 1, pieces(bucket, 1))

        assert await keys(bucket) == []


@pytest.mark.parametrize("large", [False, True])
async def test_objects_lie_in_the_class_that_was_asked_for(gcs: Server, large: bool) -> None:
    made = gcs.bucket()
    environment = {"STORAGE_EMULATOR_HOST": made.endpoint}
    async with GoogleBucket(f"gs://{made.name}?storage_class=NEARLINE", environment=environment) as bucket:
        if large:
            session = await bucket.begin(KEY)
            await bucket.complete(KEY, session, await put_parts(bucket, session, [1, 2]))
        else:
            await bucket.put(KEY, b"x")

    async with httpx.AsyncClient() as client:
        [stored] = (await client.get(made.objects)).json()["items"]
    assert stored["storageClass"] == "NEARLINE"


async def test_the_key_that_encrypts_is_named_in_every_write(opener: Opener) -> None:
    async with way_to(opener.host) as way:
        url = f"gs://{opener.name}?kms_key=projects/p/locations/l/keyRings/r/cryptoKeys/k"
        async with GoogleBucket(url, environment={"STORAGE_EMULATOR_HOST": way.host}) as bucket:
            session = await bucket.begin(KEY)
            await bucket.complete(KEY, session, await put_parts(bucket, session, [1]))
            await bucket.put("other", b"x")

    writes = [line for line in way.requests if line.startswith("POST")]
    assert len(writes) == 3
    assert all("kmsKeyName=projects/p/locations/l/keyRings/r/cryptoKeys/k" in line for line in writes)


@pytest.mark.parametrize(
    ("operation", "status", "explanation", "kind"),
    [
        ("get", 404, b"No such object: layers/x", BlobMissing),
        ("get", 404, b'{"error": {"message": "The specified bucket does not exist."}}', StorageFailed),
        ("put", 404, b"Not Found", StorageFailed),
        ("put", 400, b"Provided CRC32C hash does not match calculated CRC32C", Fault),
        ("put", 400, b"Required", StorageFailed),
        ("put", 403, b"", StorageFailed),
        ("put", 429, b"", Fault),
    ],
)
def test_answers_are_told_apart(operation: str, status: int, explanation: bytes, kind: type[Exception]) -> None:
    with pytest.raises(kind), gcs_errors(operation):
        raise Refused(status, explanation)


async def test_one_token_serves_until_it_ends_whoever_asks_for_it() -> None:
    credentials = Credentials()
    asked = account(credentials)

    first = await asyncio.gather(*[asked.headers() for _ in range(20)])
    credentials.token = None
    second = await asked.headers()

    assert {headers["authorization"] for headers in first} == {"Bearer token-1"}
    assert second == {"authorization": "Bearer token-2"}


@pytest.mark.parametrize(("kind", "retryable"), [(RefreshError, False), (TransportError, True)])
async def test_a_token_that_is_not_given_is_a_failure_of_the_store(
    kind: Callable[..., Exception], retryable: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    credentials = Credentials(kind("said by the service", retryable=retryable))
    async with GoogleBucket("gs://layers", environment={}, budget_seconds=0.3, account=account(credentials)) as bucket:
        with pytest.raises(StorageFailed):
            await bucket.put(KEY, b"x")

    assert (credentials.refreshed > 1) == retryable
    assert "said by the service" not in caplog.text


async def test_a_token_that_is_refused_is_not_sent_again(opener: Opener) -> None:
    credentials = Credentials()
    async with way_to(opener.host) as way:
        environment = {"STORAGE_EMULATOR_HOST": way.host}
        async with GoogleBucket(f"gs://{opener.name}", environment=environment, account=account(credentials)) as bucket:
            way.troubles.append(Answers(401))
            with pytest.raises(StorageFailed, match="401"):
                await bucket.put(KEY, b"x")
            await bucket.put(KEY, b"x")

    assert credentials.refreshed == 2


async def test_no_token_follows_a_redirect(opener: Opener) -> None:
    async with way_to(opener.host) as way:
        way.always = Answers(302)
        async with opener.through(way.host).open() as bucket:
            with pytest.raises(StorageFailed, match="302"):
                await bucket.put(KEY, b"x")

    assert len(way.requests) == 1


@pytest.mark.parametrize(
    ("url", "environment", "says"),
    [
        ("gs://layers?endpoint=http://storage.example", {}, "endpoint begins with https://"),
        ("gs://layers?key=x", {}, "unknown option key"),
    ],
)
def test_a_mistake_is_told(url: str, environment: Mapping[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        GoogleBucket(url, environment=environment)


async def test_missing_credentials_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))

    with pytest.raises(ConfigurationError, match="GOOGLE_APPLICATION_CREDENTIALS"):
        await default_account()


async def test_a_machine_without_a_key_lets_iam_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    class Signer:
        def __init__(self, request: object, credentials: object, email: str) -> None:
            self.email = email

        def sign(self, message: bytes) -> bytes:
            return self.email.encode() + message[:4]

    monkeypatch.setattr(iam, "Signer", Signer)

    url = await signed_url(account(Credentials()), "https://storage.googleapis.com/b/o", seconds=9, query={})

    assert url.endswith(f"&X-Goog-Signature={(Credentials.service_account_email + 'GOOG').encode().hex()}")


# Of the conformance tests that Google publishes for its clients.
VECTORS = json.loads(Path(__file__).with_name("v4_signatures.json").read_text())


class Recording(Account):
    """Of the vectors' account; remembers what it shall sign."""

    def __init__(self) -> None:
        super().__init__(None)
        self.message = b""

    async def email(self) -> str:
        return "test-iam-credentials@dummy-project-id.iam.gserviceaccount.com"

    async def sign(self, email: str, message: bytes) -> bytes:
        self.message = message
        return b""


@pytest.mark.parametrize("vector", VECTORS["signingV4Tests"], ids=lambda vector: vector["description"])
async def test_what_is_signed_is_what_google_signs(vector: dict[str, Any]) -> None:
    recording, key = Recording(), load_der_public_key(base64.b64decode(VECTORS["publicKey"]))
    resource, _, query = vector["expectedUrl"].partition("?")
    unsigned, _, signature = query.partition("&X-Goog-Signature=")

    url = await signed_url(
        recording,
        resource,
        seconds=int(vector["expiration"]),
        query=vector.get("queryParameters", {}),
        now=datetime.fromisoformat(vector["timestamp"]),
    )

    assert isinstance(key, RSAPublicKey)
    key.verify(bytes.fromhex(signature), recording.message, PKCS1v15(), SHA256())
    assert sorted(url.partition("?")[2].split("&")) == sorted([*unsigned.split("&"), "X-Goog-Signature="])
