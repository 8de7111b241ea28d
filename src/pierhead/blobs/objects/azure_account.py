"""Which account of Azure Storage, and how it is proved: by a key, or by an identity of Microsoft Entra.

Secrets come from the environment only, under the names that the vendor's own tools use.
"""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from azure.identity.aio import DefaultAzureCredential
from azure.storage.blob import BlobSasPermissions, UserDelegationKey, generate_blob_sas
from azure.storage.blob.aio import BlobClient, BlobServiceClient

from pierhead.blobs.objects.place import Place
from pierhead.errors import ConfigurationError, StorageFailed

OPTIONS = frozenset({"account", "endpoint", "tier", "encryption_scope"})
# Tries are counted in `patience`. A connection or an answer that stands still for so long is a fault.
_CLIENT: dict[str, Any] = {"retry_total": 0, "connection_timeout": 10, "read_timeout": 30}
_CLOCKS_DIFFER = timedelta(minutes=15)
_DELEGATION = timedelta(days=1)


class Account:
    """The client of the account's blobs, and the signatures that it can give."""

    def __init__(self, service: BlobServiceClient, identity: DefaultAzureCredential | None) -> None:
        self.service = service
        self._identity = identity
        self._delegation: tuple[UserDelegationKey, datetime] | None = None

    async def close(self) -> None:
        await self.service.close()
        if self._identity:
            await self._identity.close()

    async def signature(self, blob: BlobClient, *, seconds: int, headers: Mapping[str, str]) -> str:
        """The query with which anybody may read this blob for a while.

        Raises StorageFailed where the account was given without a key or an identity.
        """
        now = datetime.now(UTC)
        expiry = now + timedelta(seconds=seconds)
        key = getattr(self.service.credential, "account_key", None)
        if not (key or self._identity):
            raise StorageFailed("sign: the connection string holds no AccountKey")
        return generate_blob_sas(
            account_name=blob.account_name or "",
            container_name=blob.container_name,
            blob_name=blob.blob_name,
            account_key=key,
            user_delegation_key=None if key else await self._delegated(now, expiry),
            permission=BlobSasPermissions(read=True),
            start=now - _CLOCKS_DIFFER,
            expiry=expiry,
            protocol=urlsplit(blob.url).scheme if blob.url.startswith("https") else None,
            content_type=headers.get("content-type"),
            cache_control=headers.get("cache-control"),
        )

    async def _delegated(self, now: datetime, needed: datetime) -> UserDelegationKey:
        """A key that the service gives to an identity; one serves for a day."""
        if self._delegation is None or self._delegation[1] < needed:
            until = max(needed, now) + _DELEGATION
            key = await self.service.get_user_delegation_key(now - _CLOCKS_DIFFER, until)
            self._delegation = (key, until)
        return self._delegation[0]


def open_account(place: Place, environment: Mapping[str, str]) -> Account:
    """Raises ConfigurationError where nothing says which account, or its key is malformed."""
    if connection := environment.get("AZURE_STORAGE_CONNECTION_STRING"):
        return _connected(connection)
    name = place.options.get("account") or environment.get("AZURE_STORAGE_ACCOUNT")
    if not name:
        raise ConfigurationError(
            ["storage.url: no account; add ?account=NAME, or set AZURE_STORAGE_ACCOUNT or a connection string"]
        )
    endpoint = place.options.get("endpoint") or f"https://{name}.blob.core.windows.net"
    if key := environment.get("AZURE_STORAGE_KEY"):
        pair = {"account_name": name, "account_key": _base64(key)}
        return Account(BlobServiceClient(endpoint, credential=pair, **_CLIENT), None)
    identity = DefaultAzureCredential()
    return Account(BlobServiceClient(endpoint, credential=identity, **_CLIENT), identity)


def _connected(connection: str) -> Account:
    try:
        service = BlobServiceClient.from_connection_string(connection, **_CLIENT)
    except ValueError:
        # Not chained: the vendor's message may hold what it could not read.
        raise ConfigurationError(["AZURE_STORAGE_CONNECTION_STRING: malformed"]) from None
    return Account(service, None)


def _base64(key: str) -> str:
    try:
        base64.b64decode(key, validate=True)
    except ValueError:
        raise ConfigurationError(["AZURE_STORAGE_KEY: malformed"]) from None
    return key
