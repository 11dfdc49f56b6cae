"""What is counted of the exchanges of one agent; plain numbers, of which ``metrics.py`` makes what Prometheus reads.

No principal, no key and no path is ever in here: what a client chooses would grow without end. Names that come from
plugins or from a model are kept up to a bound, and are ``other`` beyond it.
"""

from bisect import bisect_right
from typing import Final, TypeVar

import attrs

from aiogate.exchange import Exchange, Outcome, Usage
from aiogate.proxy.failed_calls import FAILURES

__all__ = ["OTHER", "AgentNumbers", "Histogram", "count", "kept"]

_DURATION_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_OVERHEAD_SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25)
_GAP_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_RESULTS: Final = tuple(f"{hundreds}xx" for hundreds in range(10))
_MOST_NAMES: Final = 200
_MOST_FRESH: Final = 256
OTHER: Final = "other"

N = TypeVar("N", str, tuple[str, str])


class Histogram:
    """Counts by bucket, and their sum.

    Args:
        fresh: what was added lately and is in no bucket yet: sorted together, many cost less than each by itself.
    """

    __slots__ = ("_counts", "_total", "bounds", "fresh")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.fresh: list[float] = []
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def add(self, seconds: float) -> None:
        """Count one more."""
        self.fresh.append(seconds)
        if len(self.fresh) > _MOST_FRESH:
            self.settle()

    def settle(self) -> None:
        """Put what was added lately into its buckets."""
        fresh = sorted(self.fresh)
        self.fresh.clear()
        self._total += sum(fresh)
        for place, bound in enumerate(self.bounds):
            self._counts[place] += bisect_right(fresh, bound)
        self._counts[-1] += len(fresh)

    @property
    def total(self) -> float:
        """The sum of everything."""
        self.settle()
        return self._total

    def buckets(self) -> list[tuple[str, float]]:
        """Return the cumulated buckets as Prometheus has them."""
        self.settle()
        bounds = *map(str, self.bounds), "+Inf"
        return [(bound, float(count)) for bound, count in zip(bounds, self._counts, strict=True)]


@attrs.define
class AgentNumbers:
    """What is known of the exchanges of one agent.

    Args:
        ends: by outcome and status.
        refusals: by code and rule.
        attempts: requests that were sent to it, by what came of them.
        classes: tokens by a class that is part of the input or of the output.
        admitted: by the name of the limit or budget that had enough left.
    """

    ends: dict[tuple[str, int], int] = attrs.field(factory=dict)
    duration: Histogram = attrs.field(factory=lambda: Histogram(_DURATION_SECONDS))
    first_byte: Histogram = attrs.field(factory=lambda: Histogram(_DURATION_SECONDS))
    overhead: Histogram = attrs.field(factory=lambda: Histogram(_OVERHEAD_SECONDS))
    gap: Histogram = attrs.field(factory=lambda: Histogram(_GAP_SECONDS))
    input_tokens: int = 0
    output_tokens: int = 0
    classes: dict[str, int] = attrs.field(factory=dict)
    cost_nanousd: int = 0
    unpriced: int = 0
    refusals: dict[tuple[str, str], int] = attrs.field(factory=dict)
    attempts: dict[str, int] = attrs.field(factory=dict)
    admitted: dict[str, int] = attrs.field(factory=dict)
    shadow_denials: dict[str, int] = attrs.field(factory=dict)
    failed_calls: dict[str, int] = attrs.field(factory=dict)

    def settle(self) -> None:
        """Put into the histograms what was added lately."""
        for histogram in (self.duration, self.first_byte, self.overhead, self.gap):
            histogram.settle()


def kept(name: str, known: dict[str, int]) -> str:
    """Return a name that may be counted by: one that is known, or ``other`` where there are too many."""
    return name if name in known or len(known) < _MOST_NAMES else OTHER


def count(numbers: AgentNumbers, exchange: Exchange) -> None:  # noqa: C901, PLR0912 - what is not there costs one look
    """Count an exchange that has ended; of what an ordinary one does not have nothing is looked at twice."""
    status, started, forwarded = exchange.status, exchange.started, exchange.forwarded
    first_byte, answered, quotas = exchange.first_byte, exchange.answered, exchange.quotas
    end = exchange.outcome or "", status
    try:
        numbers.ends[end] += 1
    except KeyError:
        numbers.ends[end] = 1
    if exchange.ended is not None:
        durations = numbers.duration.fresh
        durations.append(exchange.ended - started)
        if len(durations) > _MOST_FRESH:
            numbers.settle()
    if forwarded is not None and answered is not None and first_byte is not None:
        numbers.overhead.fresh.append(forwarded - started + answered - first_byte)
        numbers.first_byte.fresh.append(answered - started)
    if exchange.longest_gap is not None:
        numbers.gap.fresh.append(exchange.longest_gap)
    if quotas and exchange.grant is not None:
        admitted = numbers.admitted
        for quota in quotas:  # those that had not enough left are among the refusals
            try:
                admitted[quota[0].name] += 1
            except KeyError:
                _one_more(admitted, quota[0].name, OTHER)
    if first_byte is not None and not exchange.attempts:
        try:
            numbers.attempts[_RESULTS[status // 100]] += 1
        except KeyError:
            _one_more(numbers.attempts, _RESULTS[status // 100], OTHER)
    elif forwarded is not None:
        _count_attempts(numbers, exchange)
    if exchange.refusal is not None:
        _one_more(numbers.refusals, (exchange.refusal.code, exchange.refusal.rule or ""), (OTHER, OTHER))
    if exchange.call_failure is not None:
        reason = exchange.call_failure if exchange.call_failure in FAILURES else OTHER
        _one_more(numbers.failed_calls, reason, OTHER)
    for rule in exchange.shadow_rules:
        _one_more(numbers.shadow_denials, rule, OTHER)
    usage = exchange.usage
    if usage.source != "unknown":
        _count_tokens(numbers, usage)
        if exchange.cost_nanousd is None:
            numbers.unpriced += 1
    if exchange.cost_nanousd:
        numbers.cost_nanousd += exchange.cost_nanousd


def _one_more(counted: dict[N, int], name: N, other: N) -> None:
    """Count by a name, or by ``other`` where there are too many."""
    if name not in counted and len(counted) >= _MOST_NAMES:
        name = other
    counted[name] = counted.get(name, 0) + 1


def _count_attempts(numbers: AgentNumbers, exchange: Exchange) -> None:
    """Count what came of each request to the agent: the class of the status, or why there was none."""
    if exchange.attempts:
        results = [
            one.code or OTHER if one.status is None else f"{one.status // 100}xx"
            for one in exchange.attempts
            if one.agent is exchange.agent
        ]
    elif exchange.outcome is Outcome.UPSTREAM_FAILED and exchange.refusal is not None:
        results = [exchange.refusal.code]
    else:
        results = ["unanswered"]
    for result in results:
        _one_more(numbers.attempts, result, OTHER)


def _count_tokens(numbers: AgentNumbers, usage: Usage) -> None:
    numbers.input_tokens += usage.input_tokens or 0
    numbers.output_tokens += usage.output_tokens or 0
    classes = numbers.classes
    if tokens := usage.cached_input_tokens:
        classes["cached_input"] = classes.get("cached_input", 0) + tokens
    if tokens := usage.cache_write_tokens:
        classes["cache_write"] = classes.get("cache_write", 0) + tokens
    if tokens := usage.reasoning_tokens:
        classes["reasoning"] = classes.get("reasoning", 0) + tokens
    if tokens := usage.input_audio_tokens:
        classes["input_audio"] = classes.get("input_audio", 0) + tokens
    if tokens := usage.output_audio_tokens:
        classes["output_audio"] = classes.get("output_audio", 0) + tokens
