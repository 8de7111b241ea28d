"""Whom Google Cloud Storage is asked as: tokens for its requests, signatures for its URLs.

Credentials are found as the vendor's own clients find them: GOOGLE_APPLICATION_CREDENTIALS, those of gcloud,
those of the machine or the workload. An emulator gets none.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import google.auth
from google.auth import iam
from google.auth.credentials import Credentials
from google.auth.exceptions import DefaultCredentialsError
from google.auth.transport.requests import Request

from pierhead.errors import ConfigurationError, StorageFailed
from pierhead.threads import finished

T = TypeVar("T")

# What may be done with it is said by the roles of the account; signing through IAM needs this scope.
_SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]


class Account:
    def __init__(self, credentials: Credentials | None) -> None:
        self._credentials = credentials
        self._refreshing = asyncio.Lock()

    async def headers(self) -> dict[str, str]:
        """Of a request. Raises what google-auth raises where no token is to be had."""
        if self._credentials is None:
            return {}
        async with self._refreshing:
            if not self._credentials.valid:
                await _in_thread(lambda: _refresh(self._credentials))
        return {"authorization": f"Bearer {self._credentials.token}"}

    async def email(self) -> str:
        """Who signs. Raises StorageFailed where these credentials cannot."""
        await self.headers()  # those of a machine learn their name with their token
        name = getattr(self._credentials, "signer_email", None) or getattr(
            self._credentials, "service_account_email", None
        )
        if not name:
            raise StorageFailed("sign: the credentials are not those of a service account")
        return str(name)

    async def sign(self, email: str, message: bytes) -> bytes:
        """By the account's own key, or by IAM, which needs iam.serviceAccounts.signBlob on the account itself."""
        return await _in_thread(lambda: _sign(self._credentials, email, message))


async def default_account() -> Account:
    """Raises ConfigurationError where there are no credentials."""
    try:
        credentials, _ = await _in_thread(lambda: google.auth.default(scopes=_SCOPES))
    except DefaultCredentialsError as error:
        raise ConfigurationError(["storage.url: no Google credentials; see GOOGLE_APPLICATION_CREDENTIALS"]) from error
    return Account(credentials)


def _refresh(credentials: Any) -> None:
    credentials.refresh(Request())


def _sign(credentials: Any, email: str, message: bytes) -> bytes:
    sign = getattr(credentials, "sign_bytes", None)
    if sign is None:
        signer: Any = iam.Signer(Request(), credentials, email)  # type: ignore[no-untyped-call]  # theirs
        sign = signer.sign
    return bytes(sign(message))


async def _in_thread(call: Callable[[], T]) -> T:
    """google-auth waits for the network."""
    return await finished(asyncio.get_running_loop().run_in_executor(None, call))
