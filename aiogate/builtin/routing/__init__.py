"""``routing``: which of the agents that can do what a path asks for serves it.

For ``/capabilities/{capability}/...``; the candidates are the agents that declare it, without those that other plugins
have ruled out. Uses public names alone, as a third party would. ::

    [plugins.routing]
    strategy = "priority"                # or weighted, least_pending, lowest_latency, lowest_cost
    sticky = "header:X-Session-Id"       # a session stays with its agent while that one is there
    refresh_seconds = 60                 # after so long a latency is measured anew

    [plugins.routing.capabilities.refunds]
    strategy = "lowest_cost"             # what is different for one capability

    [agents.support]
    priority = 0                         # the lowest comes first
    group = "support"                    # a service and its canary share a place ...
    weight = 95

    [agents.support-next]
    group = "support"
    weight = 5                           # ... by weight

Ties go by the order of the config. Where the claims on an agent cannot be taken, the next one in the ranking is tried.
Each process learns for itself.
"""

from aiogate.builtin.routing.plugin import Routing
from aiogate.builtin.routing.settings import CapabilityRoute, Route, RoutingConfig

__all__ = ["CapabilityRoute", "Route", "Routing", "RoutingConfig"]
