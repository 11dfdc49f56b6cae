"""One config in force: its number, its settings and the pipeline built from them."""

import ipaddress
from collections.abc import Mapping

import attrs

from aiogate.agent import Agent
from aiogate.exchange import Clock
from aiogate.pipeline.run import Pipeline
from aiogate.proxy.client_address import Network
from aiogate.settings.model import Settings

__all__ = ["Generation"]


@attrs.frozen(kw_only=True, eq=False)
class Generation:
    """What an exchange begins with and ends on, even when another config comes into force meanwhile."""

    number: int
    settings: Settings
    pipeline: Pipeline
    clock: Clock
    trusted_proxies: tuple[Network, ...] = attrs.field(init=False)
    """Whose word on a client's address counts."""

    @trusted_proxies.default
    def _networks(self) -> tuple[Network, ...]:
        return tuple(ipaddress.ip_network(network) for network in self.settings.server.trusted_proxies)

    @property
    def agents(self) -> Mapping[str, Agent]:
        """The agents of the config, by id."""
        return self.settings.agents
