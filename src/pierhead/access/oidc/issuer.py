"""An issuer and its keys: asked once by whoever comes first, remembered, and remembered further while it is down.

Nobody waits for a refresh who could be served with what is known. Nobody makes an issuer be asked more often than the
settings say: not by ids of keys that nobody has, and not by coming again while it does not answer.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from pierhead.access.oidc import metadata, tokens
from pierhead.access.oidc.claims import Claims
from pierhead.access.oidc.metadata import Metadata
from pierhead.access.oidc.tokens import Key, Refused
from pierhead.access.oidc.trusts import Trust
from pierhead.access.sources import SourceUnavailable
from pierhead.issuer_settings import IssuerSettings
from pierhead.outbound import Outbound, OutboundFailed

logger = logging.getLogger("pierhead.access")

_HOUR = 3600.0
_LARGEST_FILE = 1024 * 1024  # bytes, of keys or of a token


@dataclass(frozen=True, slots=True)
class _Known:
    metadata: Metadata
    keys: tuple[Key, ...]
    since: float


class Issuer:
    """Of one event loop. `close` it, as it may be asking."""

    def __init__(
        self,
        url: str,
        settings: IssuerSettings,
        outbound: Outbound,
        trust: Trust | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self.outbound = outbound
        self._settings = settings
        self._trust = trust or Trust()
        self._clock = clock
        self._known: _Known | None = None
        self._asking: asyncio.Task[None] | None = None
        self._asked = float("-inf")
        self._failure = ""

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    @property
    def is_asking(self) -> bool:
        return self._asking is not None and not self._asking.done()

    async def metadata(self) -> Metadata:
        """Raises SourceUnavailable."""
        return (await self._current()).metadata

    async def keys(self) -> tuple[Key, ...]:
        """Raises SourceUnavailable."""
        return (await self._current()).keys

    async def verify(self, token: str, audiences: Collection[str]) -> Claims:
        """The claims of a genuine token. Raises Refused, SourceUnavailable."""
        wanted = tokens.look(token, max_bytes=self._settings.max_token_bytes)
        if wanted.issuer != self.url:
            raise Refused("the token is of another issuer")
        key = tokens.choose((await self._current()).keys, wanted)
        if key is None and (known := await self._anew()):
            key = tokens.choose(known.keys, wanted)
        if key is None:
            raise Refused("the token is signed with a key that its issuer does not publish")
        return tokens.verify(
            token,
            key,
            algorithm=wanted.algorithm,
            issuer=self.url,
            audiences=audiences,
            leeway=self._settings.leeway_seconds,
        )

    async def _current(self) -> _Known:
        """What is known; where that is nothing, or too old to be believed, only after asking."""
        age = self._clock() - self._known.since if self._known else float("inf")
        if age <= self._settings.refresh_seconds and self._known:
            return self._known
        asking = self._ask(pause=self._settings.retry_seconds)
        if age > self._settings.keep_hours * _HOUR or self._known is None:
            await self._wait(asking)
            age = self._clock() - self._known.since if self._known else float("inf")
        if self._known is None or age > self._settings.keep_hours * _HOUR:
            raise SourceUnavailable(self._failure or f"{self.url} was not asked yet")
        return self._known

    async def _anew(self) -> _Known | None:
        """What it says now, for a key that is not known; None where it was asked a moment ago."""
        before = self._known
        await self._wait(self._ask(pause=self._settings.unknown_key_seconds))
        return self._known if self._known is not before else None

    def _ask(self, *, pause: float) -> asyncio.Task[None] | None:
        """The request that is under way; else a new one, where the last one is long enough ago."""
        if self.is_asking:
            return self._asking
        if self._clock() - self._asked < pause:
            return None
        self._asked = self._clock()
        self._asking = asyncio.create_task(self._refresh())
        return self._asking

    async def _wait(self, asking: asyncio.Task[None] | None) -> None:
        """One who gives up waiting leaves the request to the others."""
        if asking is not None:
            await asyncio.wait([asking])
            if not asking.cancelled():
                asking.result()

    async def _refresh(self) -> None:
        try:
            self._known = await self._fetch()
            self._failure = ""
        except (OutboundFailed, OSError, ValueError) as error:
            self._failure = f"{self.url}: {error}"
            logger.warning(
                "an issuer gives no answer that can be used", extra={"issuer": self.url, "reason": str(error)}
            )

    async def _fetch(self) -> _Known:
        trust = self._trust
        if trust.jwks_file:
            keys = tokens.keys(await asyncio.to_thread(_content, trust.jwks_file))
            return _Known(Metadata(self.url, ""), keys, self._clock())
        headers = {}
        if trust.token_file:
            proof = (await asyncio.to_thread(_content, trust.token_file)).decode("ascii").strip()
            headers["authorization"] = f"Bearer {proof}"
        told = Metadata(self.url, trust.jwks_url or "")
        if not trust.jwks_url:
            document = await self.outbound.get(self.url.rstrip("/") + metadata.WELL_KNOWN, headers)
            told = metadata.parse(document, self.url)
        if not told.jwks:
            raise ValueError("the discovery document does not say where its keys are")
        return _Known(told, tokens.keys(await self.outbound.get(told.jwks, headers)), self._clock())


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(_LARGEST_FILE + 1)
    if len(content) > _LARGEST_FILE:
        raise ValueError(f"{path} is too large")
    return content
