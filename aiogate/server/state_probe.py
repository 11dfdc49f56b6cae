"""Asks the counters that gateways share for something small once a second: how long that takes, and whether it fails.

Exchanges are not timed for it: what they take from the counters goes the same way, on the same connection.
"""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from aiogate.errors import AiogateError
from aiogate.exchange import Clock
from aiogate.proxy.upstream import Watched
from aiogate.server.numbers import Histogram
from aiogate.state import State

__all__ = ["StateProbe"]

_PERIOD_SECONDS: Final = 1.0
_COUNTER: Final = "period:probe"
_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class StateProbe:
    """Looked at by the coarse timer of all connections; asks again when it has been answered."""

    def __init__(self, state: State, clock: Clock, spawn: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._state = state
        self._clock = clock
        self._spawn = spawn
        self._asking = False
        self.seconds = Histogram(_SECONDS)
        self.failures = 0
        self.waits_in: set[Watched] | None = None

    def check(self, now: float) -> float:
        """Ask; return when to ask again."""
        if not self._asking:
            self._asking = True
            self._spawn(self._ask())
        return now + _PERIOD_SECONDS

    def metrics(self) -> Iterator[Metric]:
        """Yield what is known of the counters."""
        what = "What it takes to ask the counters that gateways share for something, once a second."
        family = HistogramMetricFamily("aiogate_state_seconds", what)
        family.add_metric([], self.seconds.buckets(), self.seconds.total)
        what = "Times that they have not answered."
        yield from (family, CounterMetricFamily("aiogate_state_errors", what, self.failures))

    async def _ask(self) -> None:
        began = self._clock.monotonic()
        try:
            await self._state.standings([_COUNTER])
        except AiogateError:
            self.failures += 1
        else:
            if self._state.degraded is None:
                self.seconds.add(self._clock.monotonic() - began)
            else:  # this gateway has answered by itself
                self.failures += 1
        finally:
            self._asking = False
