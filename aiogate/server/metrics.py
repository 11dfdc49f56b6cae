"""Metrics of the gateway in Prometheus form; base units, bounded labels, never a principal or a path.

An exchange adds to plain numbers; prometheus-client turns them into text when somebody asks, which is seldom.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import attrs
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from aiogate import __version__
from aiogate.exchange import Exchange
from aiogate.journal.writer import Journal
from aiogate.proxy.failed_calls import FAILURES
from aiogate.state import State

__all__ = ["AgentNumbers", "Metrics"]


_DURATION_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_OVERHEAD_SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25)
_NANO: Final = 1e-9


class _Histogram:
    """Counts by bucket, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def buckets(self) -> list[tuple[str, float]]:
        """Return the cumulated buckets as Prometheus has them."""
        cumulated, so_far = [], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            so_far += count
            cumulated.append((bound, float(so_far)))
        return cumulated


@attrs.define
class AgentNumbers:
    """What is known of the exchanges of one agent."""

    ends: dict[tuple[str, int], int] = attrs.field(factory=dict)
    duration: _Histogram = attrs.field(factory=lambda: _Histogram(_DURATION_SECONDS))
    overhead: _Histogram = attrs.field(factory=lambda: _Histogram(_OVERHEAD_SECONDS))
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nanousd: int = 0
    shadow_denials: dict[str, int] = attrs.field(factory=dict)
    failed_calls: dict[str, int] = attrs.field(factory=dict)


class Metrics:
    """The numbers of one gateway, so that two in one process do not meet."""

    def __init__(self) -> None:
        self._agents: dict[str, AgentNumbers] = {}
        self._generation = 0
        self._reloaded = True
        self._reloaded_at = 0.0
        self._open_exchanges: Callable[[], int] = int
        self._state: State | None = None
        self._degraded = 0
        self._journal: Journal | None = None

    def started(self, open_exchanges: Callable[[], int], state: State, journal: Journal) -> None:
        """Tell where to ask for the number of exchanges under way, and how the counters and the journal are."""
        self._open_exchanges = open_exchanges
        self._state = state
        self._journal = journal

    def loaded(self, generation: int, at: float, *, successful: bool) -> None:
        """Tell which config is in force, and whether the last attempt to load one has worked; ``at`` is wall time."""
        self._generation = generation
        self._reloaded = successful
        if successful:
            self._reloaded_at = at

    def ended(self, exchange: Exchange) -> None:
        """Count an exchange that has ended."""
        agent = exchange.agent.id if exchange.agent is not None else ""
        numbers = self._agents.get(agent)
        if numbers is None:
            numbers = self._agents[agent] = AgentNumbers()
        end = (exchange.outcome or "", exchange.status)
        numbers.ends[end] = numbers.ends.get(end, 0) + 1
        if exchange.degraded:
            self._degraded += 1
        started, forwarded, first_byte = exchange.started, exchange.forwarded, exchange.first_byte
        if exchange.ended is not None:
            seconds = exchange.ended - started
            numbers.duration.counts[bisect_left(_DURATION_SECONDS, seconds)] += 1
            numbers.duration.total += seconds
        if forwarded is not None and exchange.answered is not None and first_byte is not None:
            seconds = forwarded - started + exchange.answered - first_byte
            numbers.overhead.counts[bisect_left(_OVERHEAD_SECONDS, seconds)] += 1
            numbers.overhead.total += seconds
        if exchange.call_failure is not None:
            reason = exchange.call_failure if exchange.call_failure in FAILURES else "other"
            numbers.failed_calls[reason] = numbers.failed_calls.get(reason, 0) + 1
        for rule in exchange.shadow_rules:
            numbers.shadow_denials[rule] = numbers.shadow_denials.get(rule, 0) + 1
        usage = exchange.usage
        if usage.source != "unknown":
            numbers.input_tokens += usage.input_tokens or 0
            numbers.output_tokens += usage.output_tokens or 0
        numbers.cost_nanousd += exchange.cost_nanousd or 0

    def figures(self) -> Mapping[str, AgentNumbers]:
        """Return what is known of each agent, by id; of what went to none under ``""``."""
        return self._agents

    def known(self) -> Iterator[Metric]:
        """Yield the metrics."""
        build = GaugeMetricFamily("aiogate_build_info", "Always 1.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        yield GaugeMetricFamily("aiogate_config_generation", "Number of the config in force.", self._generation)
        successful = "Whether the last config that was loaded is in force."
        yield GaugeMetricFamily("aiogate_config_last_reload_successful", successful, int(self._reloaded))
        when = "Unix time since when a config is in force."
        yield GaugeMetricFamily("aiogate_config_last_reload_success_timestamp_seconds", when, self._reloaded_at)
        yield GaugeMetricFamily("aiogate_open_exchanges", "Exchanges under way.", self._open_exchanges())
        if self._journal is not None:
            yield from _of_the_journal(self._journal)
        away = "Whether the counters that all gateways share cannot be reached."
        is_away = self._state is not None and self._state.degraded is not None
        yield GaugeMetricFamily("aiogate_state_degraded", away, int(is_away))
        known = "Gateways that take from the same counters."
        yield GaugeMetricFamily("aiogate_state_gateways", known, self._state.gateways if self._state else 0)
        alone = "Exchanges whose claims this gateway decided by itself meanwhile."
        yield CounterMetricFamily("aiogate_degraded_exchanges", alone, self._degraded)
        yield from self._counters()
        yield self._histogram(
            "aiogate_exchange_duration_seconds",
            "From the request's head to the response's end.",
            lambda numbers: numbers.duration,
        )
        yield self._histogram(
            "aiogate_overhead_seconds",
            "What the gateway itself added before the response's first byte.",
            lambda numbers: numbers.overhead,
        )

    def _counters(self) -> Iterator[Metric]:
        ends = CounterMetricFamily(
            "aiogate_exchanges", "Exchanges by how they ended.", labels=["agent", "outcome", "status"]
        )
        tokens = CounterMetricFamily("aiogate_tokens", "Tokens used.", labels=["agent", "type"])
        cost = CounterMetricFamily("aiogate_cost_usd", "Cost in US dollars.", labels=["agent"])
        shadow = "Exchanges that a rule in the shadow would have refused."
        shadows = CounterMetricFamily("aiogate_shadow_denials", shadow, labels=["agent", "rule"])
        failed = "Calls that have failed in an answer of 200: JSON-RPC errors by code, tools by isError."
        calls = CounterMetricFamily("aiogate_failed_calls", failed, labels=["agent", "reason"])
        for agent, numbers in self._agents.items():
            for reason, count in numbers.failed_calls.items():
                calls.add_metric([agent, reason], count)
            for rule, count in numbers.shadow_denials.items():
                shadows.add_metric([agent, rule], count)
            for (outcome, status), count in numbers.ends.items():
                ends.add_metric([agent, outcome, str(status)], count)
            tokens.add_metric([agent, "input"], numbers.input_tokens)
            tokens.add_metric([agent, "output"], numbers.output_tokens)
            cost.add_metric([agent], numbers.cost_nanousd * _NANO)
        yield from (ends, tokens, cost, shadows, calls)

    def _histogram(self, name: str, what: str, of: Callable[[AgentNumbers], _Histogram]) -> Metric:
        family = HistogramMetricFamily(name, what, labels=["agent"])
        for agent, numbers in self._agents.items():
            histogram = of(numbers)
            family.add_metric([agent], histogram.buckets(), histogram.total)
        return family


def _of_the_journal(journal: Journal) -> Iterator[Metric]:
    yield GaugeMetricFamily("aiogate_journal_healthy", "Whether records can be written.", int(journal.healthy))
    yield CounterMetricFamily("aiogate_journal_errors", "Times that something could not be written.", journal.failures)
    lost = "Exchanges that were served without a record."
    yield CounterMetricFamily("aiogate_journal_records_lost", lost, journal.lost)
