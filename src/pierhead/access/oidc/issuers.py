"""All issuers that a process asks, each once: those of the configuration, and a bounded number of others."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Self

from pierhead.access.oidc.issuer import Issuer
from pierhead.access.oidc.trusts import Trust
from pierhead.issuer_settings import IssuerSettings, OutboundSettings
from pierhead.outbound import Outbound


class Issuers:
    """An async context manager: at its end nothing is being asked any more."""

    def __init__(self, settings: IssuerSettings, outbound: OutboundSettings, trusts: Mapping[str, Trust]) -> None:
        """`trusts` has the issuers that the configuration names; all others go through the guard."""
        self._settings = settings
        self._trusted = {
            url: Issuer(url, settings, Outbound(outbound, certificates=trust.ca_certificate), trust)
            for url, trust in trusts.items()
        }
        self._guarded = Outbound(outbound, guarded=True)
        self._others: OrderedDict[str, Issuer] = OrderedDict()
        self._left: list[Issuer] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for issuer in [*self._trusted.values(), *self._others.values(), *self._left]:
            await issuer.close()

    def get(self, url: str) -> Issuer:
        """An issuer that somebody trusts: a rule names it. Never one that only a token names."""
        if url in self._trusted:
            return self._trusted[url]
        if url not in self._others:
            self._others[url] = Issuer(url, self._settings, self._guarded)
            if len(self._others) > self._settings.others_max:
                self._forget()
        self._others.move_to_end(url)
        return self._others[url]

    def _forget(self) -> None:
        """The one that was needed longest ago; what it is being asked just now ends by itself, in bounded time."""
        _, issuer = self._others.popitem(last=False)
        self._left = [left for left in self._left if left.is_asking] + [issuer]
