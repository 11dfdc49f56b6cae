"""What the process holds at this moment, as gauges: after everything has ended each is where it was at the start.

For operators who look for a leak, and for the soak. Counted when somebody asks, never per exchange.
"""

import asyncio
from collections.abc import Iterator
from typing import Protocol

from prometheus_client.core import GaugeMetricFamily, Metric

from aiogate.server.house import House

__all__ = ["vitals"]


class _Alive(Protocol):
    house: House

    @property
    def connections(self) -> int: ...


def vitals(gateway: _Alive) -> Iterator[Metric]:
    """Yield connections of clients, tasks of the loop, what operators have stopped and grants that are not settled."""
    house = gateway.house
    yield GaugeMetricFamily("aiogate_connections", "Clients that are connected.", gateway.connections)
    yield GaugeMetricFamily("aiogate_tasks", "Tasks of the event loop.", len(asyncio.all_tasks()))
    halts = GaugeMetricFamily("aiogate_halts", "Kills and pauses in force.", labels=["kind"])
    current = house.halts.current()
    for kind in ("kill", "pause"):
        halts.add_metric([kind], sum(halt.kind == kind for halt in current))
    yield halts
    yield GaugeMetricFamily("aiogate_open_grants", "Grants that are not settled.", house.state.open_grants)
