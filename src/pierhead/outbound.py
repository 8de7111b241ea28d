"""Requests of the registry to other servers: bounded in time and size, never redirected, TLS always verified.

Who named an address decides where it may lead. What the configuration names may be anywhere. What somebody named who
has rights in the registry and none beside it (`guarded`) must not lead into the network that the registry stands in:
its host is resolved once, every address of it must be public, and the connection goes to one of these very addresses,
so that a name server that answers something else the second time changes nothing.
"""

# ruff: noqa: PLC0415 - httpx is imported by the first request

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from pierhead.addresses import is_public, is_usable
from pierhead.issuer_settings import OutboundSettings

if TYPE_CHECKING:
    import httpx


class OutboundFailed(Exception):
    """Another server gave no usable answer; the text says why, and repeats nothing that is secret."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    content: bytes = field(repr=False)


class Outbound:
    """The way to one kind of server: with what certificates, and whether guarded."""

    def __init__(self, settings: OutboundSettings, *, certificates: Path | None = None, guarded: bool = False) -> None:
        self._settings = settings
        self._certificates = certificates
        self._guarded = guarded
        self._context: tuple[int, ssl.SSLContext] | None = None

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The document there. Raises OutboundFailed, also where the answer is not 200."""
        answer = await self.send("GET", url, headers)
        if answer.status != 200:  # noqa: PLR2004
            raise OutboundFailed(f"{url} answers {answer.status}")
        return answer.content

    async def post(self, url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Answer:
        return await self.send("POST", url, headers, form)

    async def send(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, form: Mapping[str, str] | None = None
    ) -> Answer:
        """Raises OutboundFailed where nothing usable comes back; what a status means is the caller's."""
        import httpx

        if not is_usable(url):
            raise OutboundFailed(f"{url!r} is no https:// address that can be asked")
        try:
            async with asyncio.timeout(self._settings.seconds):
                return await self._send(method, httpx.URL(url), dict(headers or {}), form)
        except TimeoutError as error:
            raise OutboundFailed(f"{url} does not answer within {self._settings.seconds:g} seconds") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise OutboundFailed(f"{url} cannot be asked: {str(error) or type(error).__name__}") from error

    async def _send(
        self, method: str, url: "httpx.URL", headers: dict[str, str], form: Mapping[str, str] | None
    ) -> Answer:
        import httpx

        timeouts = httpx.Timeout(self._settings.seconds, connect=self._settings.connect_seconds)
        # A proxy that the environment names would resolve the host anew, beyond the guard.
        client = httpx.AsyncClient(
            verify=await self._tls(), timeout=timeouts, trust_env=not self._guarded, follow_redirects=False
        )
        # A small answer that unfolds into a huge one is not asked for, and not read.
        headers |= {"accept-encoding": "identity", "user-agent": "pierhead"}
        async with client:
            *others, last = [
                client.build_request(method, there, headers=headers, data=form, extensions=extensions)
                async for there, extensions in self._ways(url, headers)
            ]
            for request in others:
                with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
                    return await self._read(client, request)
            return await self._read(client, last)

    async def _ways(
        self, url: "httpx.URL", headers: dict[str, str]
    ) -> AsyncIterator[tuple["httpx.URL", dict[str, str]]]:
        """The addresses to try, one after another. A guarded host is there by address, and by name for TLS."""
        if not self._guarded:
            yield url, {}
            return
        headers["host"] = url.netloc.decode("ascii")
        for address in await self._addresses(url):
            yield url.copy_with(host=address), {"sni_hostname": url.host}

    async def _addresses(self, url: "httpx.URL") -> Sequence[str]:
        """What a guarded host resolves to, this once. Raises OutboundFailed where any of it may not be asked."""
        port = url.port or (443 if url.scheme == "https" else 80)
        found = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
        addresses = dict.fromkeys(str(entry[4][0]) for entry in found)
        if not addresses:
            raise OutboundFailed(f"{url.host} has no address")
        for address in addresses:
            if not self._may_reach(address):
                raise OutboundFailed(
                    f"{url.host} leads to {address}, which is not public (setting outbound.private_networks)"
                )
        return list(addresses)

    def _may_reach(self, address: str) -> bool:
        parsed = ip_address(address.partition("%")[0])
        plain = parsed.ipv4_mapped or parsed if isinstance(parsed, IPv6Address) else parsed
        return is_public(plain) or any(plain in network for network in self._settings.private_networks)

    async def _read(self, client: "httpx.AsyncClient", request: "httpx.Request") -> Answer:
        most = self._settings.max_bytes
        content = bytearray()
        response = await client.send(request, stream=True)
        try:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise OutboundFailed(f"{request.url} answers in an encoding that was not asked for")
            async for part in response.aiter_raw():
                content += part
                if len(content) > most:
                    raise OutboundFailed(f"{request.url} answers more than {most} bytes (setting outbound.max_bytes)")
        finally:
            await response.aclose()
        return Answer(response.status_code, bytes(content))

    async def _tls(self) -> ssl.SSLContext:
        """Made in a thread, as reading the system's certificates takes a while; anew when the file was changed."""
        changed = self._certificates.stat().st_mtime_ns if self._certificates else 0
        if self._context is None or self._context[0] != changed:
            context = await asyncio.to_thread(ssl.create_default_context, cafile=self._certificates)
            self._context = (changed, context)
        return self._context[1]
