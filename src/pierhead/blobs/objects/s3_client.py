"""Which S3, and how its clients are made: the options of `s3://`, and what botocore is told."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

import botocore.auth
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.handlers import add_expect_header

from pierhead.blobs.objects.place import Place
from pierhead.blobs.objects.s3_checksums import SIGNATURE, Presummed
from pierhead.errors import ConfigurationError

OPTIONS = frozenset(
    {
        "endpoint", "region", "path_style", "storage_class", "encryption", "kms_key", "public_endpoint", "checksum",
    }
)  # fmt: skip
_TAKES = {
    "path_style": ("true", "false"),
    "encryption": ("AES256", "aws:kms", "aws:kms:dsse"),
    "checksum": ("sha256", "crc32c"),
}
_CONNECT_SECONDS = 5
_SILENT_SECONDS = 30
_CONNECTIONS = 256


@dataclass(frozen=True, slots=True)
class Choices:
    place: Place

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raises ConfigurationError with all that is wrong."""
        place = Place.parse(url, OPTIONS)
        mistakes = [
            f"storage.url: option {name} must be {' or '.join(allowed)}"
            for name, allowed in _TAKES.items()
            if place.options.get(name, allowed[0]) not in allowed
        ]
        mistakes += [
            f"storage.url: option {name} must be http://HOST[:PORT] or https://HOST[:PORT]"
            for name in ("endpoint", "public_endpoint")
            if (stated := place.options.get(name)) and not _is_endpoint(stated)
        ]
        if "kms_key" in place.options and not place.options.get("encryption", "").startswith("aws:kms"):
            mistakes.append("storage.url: option kms_key needs encryption=aws:kms")
        if mistakes:
            raise ConfigurationError(mistakes)
        return cls(place)

    @property
    def checksum(self) -> str:
        return self.place.options.get("checksum", "sha256")

    @property
    def of_object(self) -> dict[str, str]:
        """What every object is stored with."""
        fields = {"storage_class": "StorageClass", "encryption": "ServerSideEncryption", "kms_key": "SSEKMSKeyId"}
        options = self.place.options
        return {field: options[name] for name, field in fields.items() if name in options}


def _is_endpoint(text: str) -> bool:
    split = urlsplit(text)
    return split.scheme in ("http", "https") and bool(split.hostname) and "@" not in split.netloc and not split.query


class Clients:
    def __init__(self, choices: Choices) -> None:
        botocore.auth.AUTH_TYPE_MAPS.setdefault(SIGNATURE, Presummed)
        self._options = choices.place.options
        self._session = get_session()
        # A trip for each part, and another for each try.
        self._session.unregister("before-call.s3", add_expect_header)

    def own(self) -> AbstractAsyncContextManager[Any]:
        """For what this process asks."""
        return self._client(self._options.get("endpoint"), SIGNATURE)

    def signing(self) -> AbstractAsyncContextManager[Any]:
        """For the addresses that clients get, who may know the service by another name."""
        return self._client(self._options.get("public_endpoint") or self._options.get("endpoint"), "s3v4")

    def _client(self, endpoint: str | None, signature: str) -> AbstractAsyncContextManager[Any]:
        style = {"true": "path", "false": "virtual"}.get(self._options.get("path_style", ""), "auto")
        client: AbstractAsyncContextManager[Any] = self._session.create_client(
            "s3",
            endpoint_url=endpoint,
            region_name=self._options.get("region") or self._session.get_config_variable("region") or "us-east-1",
            config=AioConfig(
                signature_version=signature,
                s3={"addressing_style": style},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                # `patience` counts the tries: botocore's would come on top of them.
                retries={"total_max_attempts": 1},
                connect_timeout=_CONNECT_SECONDS,
                read_timeout=_SILENT_SECONDS,
                max_pool_connections=_CONNECTIONS,
                user_agent_extra="pierhead",
            ),
        )
        return client
