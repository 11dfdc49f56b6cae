"""Metrics of the gateway in Prometheus form; base units, bounded labels, never a principal or a path.

An exchange adds to plain numbers; prometheus-client turns them into text when somebody asks, which is seldom.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from aiogate import __version__
from aiogate.exchange import Exchange
from aiogate.journal.record import payer_of
from aiogate.journal.sums import split_up
from aiogate.journal.writer import Journal
from aiogate.server.numbers import AgentNumbers, Histogram, count, kept
from aiogate.state import State

__all__ = ["Metrics"]

_NANO: Final = 1e-9
_OF_LIMITS: Final = frozenset({"rate_limited", "concurrency_limited", "budget_exhausted"})
_HISTOGRAMS: Final[tuple[tuple[str, str, Callable[[AgentNumbers], Histogram]], ...]] = (
    (
        "aiogate_exchange_duration_seconds",
        "From the request's head to the response's end.",
        lambda numbers: numbers.duration,
    ),
    (
        "aiogate_first_byte_seconds",
        "From the request's head to the response's first byte, as the client sees it.",
        lambda numbers: numbers.first_byte,
    ),
    (
        "aiogate_overhead_seconds",
        "What the gateway itself added before the response's first byte.",
        lambda numbers: numbers.overhead,
    ),
    (
        "aiogate_stream_gap_seconds",
        "The longest silence of the agent between two pieces of a response, of each that came in several.",
        lambda numbers: numbers.gap,
    ),
)


class Metrics:
    """The numbers of one gateway, so that two in one process do not meet."""

    def __init__(self) -> None:
        self._agents: dict[str, AgentNumbers] = {}
        self._cost_centers: dict[str, int] = {}
        self._generation = 0
        self._reloaded = True
        self._reloaded_at = 0.0
        self._loads = {True: 0, False: 0}
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
        self._loads[successful] += 1
        if successful:
            self._reloaded_at = at

    def ended(self, exchange: Exchange) -> None:
        """Count an exchange that has ended."""
        agent = exchange.agent.id if exchange.agent is not None else ""
        numbers = self._agents.get(agent)
        if numbers is None:
            numbers = self._agents[agent] = AgentNumbers()
        count(numbers, exchange)
        if exchange.degraded:
            self._degraded += 1
        if exchange.cost_nanousd:
            self._charge(exchange, exchange.cost_nanousd)

    def _charge(self, exchange: Exchange, nanousd: int) -> None:
        """Charge the cost centres; what nobody pays for is under ``""``."""
        known, shares = self._cost_centers, exchange.cost_centers
        if shares and len(shares) > 1:
            for name, part in split_up(nanousd, dict(shares)).items():
                counted = kept(name, known)
                known[counted] = known.get(counted, 0) + part
            return
        payer = payer_of(exchange) or ""
        try:
            known[payer] += nanousd
        except KeyError:
            known[kept(payer, known)] = known.get(kept(payer, known), 0) + nanousd

    def hits(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return how often each rule has refused an exchange, and how often one in the shadow would have."""
        refused, shadows = Counter[str](), Counter[str]()
        for numbers in self._agents.values():
            for (_, rule), times in numbers.refusals.items():
                refused[rule] += times
            shadows.update(numbers.shadow_denials)
        return dict(refused), dict(shadows)

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
        loads = CounterMetricFamily("aiogate_config_loads", "Configs that were loaded or refused.", labels=["result"])
        for loaded, times in self._loads.items():
            loads.add_metric(["loaded" if loaded else "refused"], times)
        yield loads
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
        yield from self._decisions()
        for name, what, of in _HISTOGRAMS:
            yield self._histogram(name, what, of)

    def _counters(self) -> Iterator[Metric]:
        labels = ["agent", "outcome", "status"]
        ends = CounterMetricFamily("aiogate_exchanges", "Exchanges by how they ended.", labels=labels)
        what = "Tokens used; input and output are all of them, the other types are part of these."
        tokens = CounterMetricFamily("aiogate_tokens", what, labels=["agent", "type"])
        cost = CounterMetricFamily("aiogate_cost_usd", "Cost in US dollars.", labels=["agent"])
        what = "Exchanges whose usage is known and has no price."
        unpriced = CounterMetricFamily("aiogate_unpriced_exchanges", what, labels=["agent"])
        for agent, numbers in self._agents.items():
            for (outcome, status), times in numbers.ends.items():
                ends.add_metric([agent, outcome, str(status)], times)
            tokens.add_metric([agent, "input"], numbers.input_tokens)
            tokens.add_metric([agent, "output"], numbers.output_tokens)
            for name, amount in numbers.classes.items():
                tokens.add_metric([agent, name], amount)
            cost.add_metric([agent], numbers.cost_nanousd * _NANO)
            unpriced.add_metric([agent], numbers.unpriced)
        centers = CounterMetricFamily("aiogate_cost_center_cost_usd", "Cost by who pays.", labels=["cost_center"])
        for name, nanousd in self._cost_centers.items():
            centers.add_metric([name], nanousd * _NANO)
        yield from (ends, tokens, cost, unpriced, centers)

    def _decisions(self) -> Iterator[Metric]:
        """Yield what was refused, let through, sent and failed, by names out of configs."""
        what = "Exchanges that were refused, by what refused them."
        refusals = CounterMetricFamily("aiogate_refusals", what, labels=["agent", "code", "rule"])
        what = "Exchanges that a limit or a budget was asked about; the refused ones by the one that had least left."
        limits = CounterMetricFamily("aiogate_limit_decisions", what, labels=["agent", "limit", "decision"])
        what = "Requests to agents by what came of them: the class of the status, or why there was none."
        attempts = CounterMetricFamily("aiogate_upstream_attempts", what, labels=["agent", "result"])
        what = "Exchanges that a rule in the shadow would have refused."
        shadows = CounterMetricFamily("aiogate_shadow_denials", what, labels=["agent", "rule"])
        what = "Calls that have failed in an answer of 200: JSON-RPC errors by code, tools by isError."
        calls = CounterMetricFamily("aiogate_failed_calls", what, labels=["agent", "reason"])
        for agent, numbers in self._agents.items():
            for (code, rule), times in numbers.refusals.items():
                refusals.add_metric([agent, code, rule], times)
                if code in _OF_LIMITS:
                    limits.add_metric([agent, rule, "refused"], times)
            for families, counted in ((shadows, numbers.shadow_denials), (calls, numbers.failed_calls)):
                for name, times in counted.items():
                    families.add_metric([agent, name], times)
            for name, times in numbers.attempts.items():
                attempts.add_metric([agent, name], times)
            for name, times in numbers.admitted.items():
                limits.add_metric([agent, name, "admitted"], times)
        yield from (refusals, limits, attempts, shadows, calls)

    def _histogram(self, name: str, what: str, of: Callable[[AgentNumbers], Histogram]) -> Metric:
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
    what = "Since when there are records that are not forced to the disk yet."
    yield GaugeMetricFamily("aiogate_journal_unsynced_seconds", what, journal.unsynced_seconds)
