"""One config in force: its number, its settings and the pipeline built from them, and what its plugins publish."""

import ipaddress
from collections.abc import Awaitable, Callable, Mapping

import attrs

from aiogate.agent import Agent
from aiogate.errors import Refusal
from aiogate.exchange import Clock, Exchange, Reply
from aiogate.pipeline.run import Pipeline
from aiogate.proxy.client_address import Network
from aiogate.server.cross_origin import CrossOrigin
from aiogate.settings.model import Settings

__all__ = ["Generation", "Page"]

Page = Callable[[Exchange], Awaitable[Reply | Refusal]]


@attrs.frozen(kw_only=True, eq=False)
class Generation:
    """What an exchange begins with and ends on, even when another config comes into force meanwhile."""

    number: int
    settings: Settings
    pipeline: Pipeline
    clock: Clock
    trusted_proxies: tuple[Network, ...] = attrs.field(init=False)
    """Whose word on a client's address counts."""
    cross_origin: CrossOrigin = attrs.field(init=False)
    """Which web pages may call."""
    pages: Mapping[str, Page] = attrs.field(init=False)
    """What authenticated callers may ask for beside the agents, by path: ``pages()`` of the plugins that have it."""
    documents: Mapping[str, Reply] = attrs.field(init=False)
    """What anybody may read, by path: ``documents()`` of the plugins that have it."""

    @trusted_proxies.default
    def _networks(self) -> tuple[Network, ...]:
        return tuple(ipaddress.ip_network(network) for network in self.settings.server.trusted_proxies)

    @cross_origin.default
    def _rules(self) -> CrossOrigin:
        return CrossOrigin(self.settings.server.cors, self.settings.agents)

    @pages.default
    def _asked_for(self) -> Mapping[str, Page]:
        found: dict[str, Page] = {}
        for plugin in self.pipeline.plugins.values():
            if (pages := getattr(plugin, "pages", None)) is not None:
                found.update(pages())
        return found

    @documents.default
    def _published(self) -> Mapping[str, Reply]:
        found: dict[str, Reply] = {}
        for plugin in self.pipeline.plugins.values():
            if (documents := getattr(plugin, "documents", None)) is not None:
                found.update(documents())
        return found

    @property
    def agents(self) -> Mapping[str, Agent]:
        """The agents of the config, by id."""
        return self.settings.agents
