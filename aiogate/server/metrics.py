"""Metrics of the gateway in Prometheus form; base units, bounded labels, never a principal or a path."""

from collections.abc import Callable
from typing import Final

import attrs
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from aiogate import __version__
from aiogate.exchange import Exchange

__all__ = ["Metrics"]

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_OVERHEAD: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25)
_NANO: Final = 1e-9


@attrs.frozen
class _Bound:
    """The counters of one agent, outcome and status class, looked up once."""

    exchanges: Callable[[], None]
    duration: Callable[[float], None]
    overhead: Callable[[float], None]
    input_tokens: Callable[[float], None]
    output_tokens: Callable[[float], None]
    cost: Callable[[float], None]


class Metrics:
    """One registry for one gateway, so that two in one process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._bound: dict[tuple[str, str, int], _Bound] = {}
        self._exchanges = Counter(
            "aiogate_exchanges", "Exchanges by how they ended.", ["agent", "outcome", "status"], registry=self.registry
        )
        self._duration = Histogram(
            "aiogate_exchange_duration_seconds",
            "From the request's head to the response's end.",
            ["agent"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._overhead = Histogram(
            "aiogate_overhead_seconds",
            "What the gateway itself added before the response's first byte.",
            ["agent"],
            buckets=_OVERHEAD,
            registry=self.registry,
        )
        self._tokens = Counter("aiogate_tokens", "Tokens used.", ["agent", "type"], registry=self.registry)
        self._cost = Counter("aiogate_cost_usd", "Cost in US dollars.", ["agent"], registry=self.registry)
        self._open = Gauge("aiogate_open_exchanges", "Exchanges under way.", registry=self.registry)
        self._generation = Gauge("aiogate_config_generation", "Number of the config in force.", registry=self.registry)
        self._build = Gauge("aiogate_build_info", "Always 1.", ["version"], registry=self.registry)

    def started(self, generation: int, open_exchanges: Callable[[], int]) -> None:
        """Tell what is in force, and where to ask for the number of exchanges under way."""
        self._generation.set(generation)
        self._open.set_function(open_exchanges)
        self._build.labels(__version__).set(1)

    def ended(self, exchange: Exchange) -> None:
        """Count an exchange that has ended."""
        agent = exchange.agent.id if exchange.agent is not None else ""
        key = (agent, exchange.outcome or "", exchange.status)
        bound = self._bound.get(key) or self._bind(key)
        bound.exchanges()
        if exchange.ended is not None:
            bound.duration(exchange.ended - exchange.started)
        if exchange.forwarded is not None and exchange.answered is not None and exchange.first_byte is not None:
            bound.overhead(exchange.forwarded - exchange.started + exchange.answered - exchange.first_byte)
        usage = exchange.usage
        if usage.input_tokens:
            bound.input_tokens(usage.input_tokens)
        if usage.output_tokens:
            bound.output_tokens(usage.output_tokens)
        if exchange.cost_nanousd:
            bound.cost(exchange.cost_nanousd * _NANO)

    def exposition(self) -> tuple[bytes, str]:
        """Return the metrics as text and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def _bind(self, key: tuple[str, str, int]) -> _Bound:
        agent, outcome, status = key
        bound = self._bound[key] = _Bound(
            self._exchanges.labels(agent, outcome, str(status)).inc,
            self._duration.labels(agent).observe,
            self._overhead.labels(agent).observe,
            self._tokens.labels(agent, "input").inc,
            self._tokens.labels(agent, "output").inc,
            self._cost.labels(agent).inc,
        )
        return bound
