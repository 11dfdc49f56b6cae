"""``[plugins.routing]``: how candidates are ranked, for all capabilities and for single ones.

For the plugin and the ranking. Knows neither exchanges nor clocks.
"""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Final, Literal

import attrs

from aiogate import Agent

__all__ = ["CapabilityRoute", "Route", "RoutingConfig", "Strategy"]

Strategy = Literal["priority", "weighted", "least_pending", "lowest_latency", "lowest_cost"]

_STICKY: Final = re.compile(r"header:(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)")
_UNSEEN: Final = ("x-user-", "x-agent-", "x-aiogate-", "x-forwarded-")
"""Starts of the headers that no plugin gets to see of a client's."""


def _is_sticky(_owner: object, _attribute: object, value: str | None) -> None:
    if value is None:
        return
    match = _STICKY.fullmatch(value)
    if match is None:
        msg = f"expected 'header:' and a header's name, such as 'header:X-Session-Id', got {value!r}"
        raise ValueError(msg)
    if match["name"].lower().replace("_", "-").startswith(_UNSEEN):
        msg = f"clients cannot send {match['name']}: it is taken away"
        raise ValueError(msg)


@attrs.frozen(kw_only=True)
class Route:
    """How the candidates for one capability are ranked.

    Args:
        strategy: what counts.
        sticky: what of a request names its session, or None; requests without it are ranked by the strategy alone.
    """

    strategy: Strategy = "priority"
    sticky: str | None = attrs.field(default=None, validator=_is_sticky)

    @property
    def header(self) -> str | None:
        """The name of the header that names a session."""
        return None if self.sticky is None else self.sticky.partition(":")[2]


@attrs.frozen(kw_only=True)
class CapabilityRoute:
    """``[plugins.routing.capabilities.<name>]``: what is different for one capability. See ``Route``.

    Where a path asks for several, the first of them that has such a table decides.
    """

    strategy: Strategy | None = None
    sticky: str | None = attrs.field(default=None, validator=_is_sticky)


@attrs.frozen(kw_only=True)
class RoutingConfig(Route):
    """``[plugins.routing]``: for all capabilities, and under ``capabilities`` for single ones.

    Args:
        refresh_seconds: a latency that was measured longer ago is measured anew, by one exchange.
        capabilities: what is different for single capabilities, by name.
    """

    refresh_seconds: float = attrs.field(default=60.0, validator=attrs.validators.gt(0.0))
    capabilities: Mapping[str, CapabilityRoute] = attrs.field(factory=dict, hash=False)

    def check_agents(self, agents: Mapping[str, Agent]) -> Iterator[tuple[str, str]]:
        """Yield the capabilities that no agent declares: where they stand, and what is wrong."""
        declared = sorted({name for agent in agents.values() for name in agent.capabilities})
        for name in self.capabilities:
            if name not in declared:
                close = get_close_matches(name, declared, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                yield f"capabilities.{name}", f"no agent declares the capability {name!r}{hint}"

    def route(self, capabilities: tuple[str, ...]) -> Route:
        """Return how the candidates for these capabilities are ranked."""
        own = next((self.capabilities[name] for name in capabilities if name in self.capabilities), CapabilityRoute())
        return Route(strategy=own.strategy or self.strategy, sticky=own.sticky or self.sticky)
