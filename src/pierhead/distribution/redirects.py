"""Who gets a blob from its store itself: clients that can reach the store and follow a redirect there."""

from dataclasses import dataclass
from fnmatch import fnmatch
from ipaddress import IPv4Network, IPv6Network, ip_address

from pierhead.settings import StorageSettings


@dataclass(frozen=True, slots=True)
class Redirects:
    on: bool
    networks: tuple[IPv4Network | IPv6Network, ...]  # whose clients are sent there; none: all
    except_agents: tuple[str, ...]  # patterns in lower case
    seconds: int

    @classmethod
    def of(cls, settings: StorageSettings) -> "Redirects":
        return cls(
            on=settings.redirect == "on",
            networks=settings.redirect_networks,
            except_agents=tuple(pattern.lower() for pattern in settings.redirect_except_agents),
            seconds=settings.redirect_seconds,
        )

    def suit(self, address: str, agent: bytes) -> bool:
        """Whether this client is sent to the store."""
        return self.on and self._is_near(address) and not self._is_excepted(agent.decode("latin-1").lower())

    def _is_near(self, address: str) -> bool:
        if not self.networks:
            return True
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        return any(parsed in network for network in self.networks)

    def _is_excepted(self, agent: str) -> bool:
        return any(fnmatch(agent, pattern) for pattern in self.except_agents)
