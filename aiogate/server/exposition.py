"""All that this process has to say to Prometheus, in one place; and what of it has been counted.

Knows nothing of other workers: ``merged_metrics.py`` makes one of what several say.
"""

from typing import Protocol

from prometheus_client.core import Metric

from aiogate.server.breaker_report import breaker_metrics, endpoint_metrics
from aiogate.server.budget_report import budget_metrics, budgets_of
from aiogate.server.generation import Generation
from aiogate.server.house import House
from aiogate.server.plugin_report import plugin_metrics
from aiogate.server.shipping_report import shipping_metrics
from aiogate.server.vitals import vitals

__all__ = ["counted_of", "metrics_of"]


class _Known(Protocol):
    house: House
    generation: Generation

    @property
    def connections(self) -> int: ...


async def metrics_of(gateway: _Known) -> list[Metric]:
    """Return all metrics; what is asked of the counters are gauges alone."""
    budgets = budget_metrics(await budgets_of(gateway.generation))
    return [*counted_of(gateway), *budgets]


def counted_of(gateway: _Known) -> list[Metric]:
    """Return what is known without asking anybody, every counter among it."""
    house, generation = gateway.house, gateway.generation
    return [
        *house.metrics.known(),
        *plugin_metrics(generation),
        *breaker_metrics(generation),
        *endpoint_metrics(house),
        *shipping_metrics(house),
        *(() if house.state_probe is None else house.state_probe.metrics()),
        *vitals(gateway),
    ]
